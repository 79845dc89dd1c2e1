-- What: a policy in schema app with an operator or a function that is not leakproof.
-- Why: it may tell of a row in an error message, and no index can be used ahead of it.
-- Mend: write the policy with the owner's column alone, = and (SELECT app.current_user_id()).

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid,
         format('(%I = (SELECT app.current_user_id()))', entry ->> 'owner_column') AS own
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
),
used AS (
  SELECT polrelid, polname, polqual, polwithcheck, found[1] AS kind, found[2]::oid AS oid
    FROM pg_catalog.pg_policy JOIN pg_catalog.pg_class ON pg_class.oid = polrelid,
         regexp_matches(concat(polqual::text, polwithcheck::text), ':(opno|funcid) (\d+)', 'g') AS found
   WHERE relnamespace = to_regnamespace('app')
)
SELECT DISTINCT polrelid::regclass::text,
       format('has a policy %I that uses %s, which is not leakproof', polname, pg_proc.oid::regprocedure),
       CASE WHEN polname IN ('wall', 'door') AND spec.oid IS NOT NULL
            THEN format('ALTER POLICY %I ON %s%s%s', polname, polrelid::regclass,
                        CASE WHEN polqual IS NOT NULL THEN ' USING ' || own END,
                        CASE WHEN polwithcheck IS NOT NULL THEN ' WITH CHECK ' || own END)
            ELSE format('DROP POLICY IF EXISTS %I ON %s', polname, polrelid::regclass) END
  FROM used
  LEFT JOIN spec ON spec.oid = polrelid
  LEFT JOIN pg_catalog.pg_operator ON used.kind = 'opno' AND pg_operator.oid = used.oid
  JOIN pg_catalog.pg_proc ON pg_proc.oid = CASE used.kind WHEN 'funcid' THEN used.oid ELSE oprcode END
 WHERE NOT proleakproof AND pg_proc.oid IS DISTINCT FROM to_regprocedure('app.current_user_id()')
 ORDER BY 1, 2
