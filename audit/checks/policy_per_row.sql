-- What: a policy in schema app that asks who the caller is without (SELECT ...) around the question.
-- Why: it is then asked once a row instead of once a statement: 85 ms instead of 10 on 200,000 rows.
-- Mend: write (SELECT app.current_user_id()).

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid,
         format('(%I = (SELECT app.current_user_id()))', entry ->> 'owner_column') AS own
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
)
SELECT polrelid::regclass::text,
       format('has a policy %I that asks once a row who the caller is', polname),
       CASE WHEN polname IN ('wall', 'door') AND spec.oid IS NOT NULL
            THEN format('ALTER POLICY %I ON %s%s%s', polname, polrelid::regclass,
                        CASE WHEN polqual IS NOT NULL THEN ' USING ' || own END,
                        CASE WHEN polwithcheck IS NOT NULL THEN ' WITH CHECK ' || own END)
            ELSE format('DROP POLICY IF EXISTS %I ON %s', polname, polrelid::regclass) END
  FROM pg_catalog.pg_policy JOIN pg_catalog.pg_class ON pg_class.oid = polrelid LEFT JOIN spec ON spec.oid = polrelid
 WHERE relnamespace = to_regnamespace('app')
   AND EXISTS (SELECT FROM (VALUES (pg_get_expr(polqual, polrelid)), (pg_get_expr(polwithcheck, polrelid)))
                             AS written (predicate)
                WHERE predicate ~ '(current_user_id|current_setting)\('
                  AND predicate !~ 'SELECT .*(current_user_id|current_setting)\(')
 ORDER BY 1, 2
