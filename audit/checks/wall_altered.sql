-- What: a table whose wall is missing, or is not exactly RESTRICTIVE, FOR ALL, TO PUBLIC, on the caller's own rows.
-- Why: the wall is what a wrong policy or a forgotten WHERE stops at; altered, it lets other users' rows through.
-- Mend: CREATE POLICY wall anew, as db/policies/ has it.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid, name, entry ->> 'owner_column' AS owner_column
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
),
expected AS (
  SELECT *, format('(%I = ( SELECT app.current_user_id() AS current_user_id))', owner_column) AS own,
         format('(%I = (SELECT app.current_user_id()))', owner_column) AS written
    FROM spec WHERE oid IS NOT NULL
)
SELECT expected.oid::text,
       CASE WHEN policy.oid IS NULL THEN 'has no wall'
            WHEN polpermissive THEN 'has a wall that is permissive'
            WHEN polcmd <> '*' THEN 'has a wall that is not for every command'
            WHEN polroles <> '{0}' THEN 'has a wall that is not for every role'
            WHEN pg_get_expr(polqual, polrelid) IS DISTINCT FROM own
            THEN format('has a wall that lets be read: %s', coalesce(pg_get_expr(polqual, polrelid), 'everything'))
            ELSE format('has a wall that lets be written: %s', coalesce(pg_get_expr(polwithcheck, polrelid), 'as read'))
       END,
       format('DROP POLICY IF EXISTS wall ON %1$s; CREATE POLICY wall ON %1$s AS RESTRICTIVE FOR ALL TO PUBLIC '
              'USING %2$s WITH CHECK %2$s', expected.oid, written)
  FROM expected LEFT JOIN pg_catalog.pg_policy policy ON polrelid = expected.oid AND polname = 'wall'
 WHERE (NOT polpermissive AND polcmd = '*' AND polroles = '{0}'
        AND pg_get_expr(polqual, polrelid) = own AND pg_get_expr(polwithcheck, polrelid) = own) IS NOT TRUE
 ORDER BY 1
