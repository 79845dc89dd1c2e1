-- What: a door that is missing, or that opens to other roles or other rows than db/access.toml says.
-- Why: a door is all that lets anybody in; a wider one leaves the wall alone in front of other users' rows.
-- Mend: CREATE POLICY door anew, as db/policies/ has it.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid, entry,
         format('(%I = ( SELECT app.current_user_id() AS current_user_id))', entry ->> 'owner_column') AS own,
         format('(%I = (SELECT app.current_user_id()))', entry ->> 'owner_column') AS written
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
),
expected AS (
  SELECT oid, own, written, string_agg(quote_ident(role), ', ' ORDER BY role) AS names
    FROM spec, jsonb_each(entry -> 'access') AS access (role, grants)
   WHERE oid IS NOT NULL AND grants ->> 'rows' = 'own'
   GROUP BY oid, own, written
)
SELECT expected.oid::text,
       CASE WHEN policy.oid IS NULL THEN 'has no door'
            WHEN NOT polpermissive THEN 'has a door that is restrictive, and opens to nobody'
            WHEN polcmd <> '*' THEN 'has a door that is not for every command'
            WHEN opens_to IS DISTINCT FROM names THEN format('has a door for %s', coalesce(opens_to, 'nobody'))
            WHEN pg_get_expr(polqual, polrelid) IS DISTINCT FROM own
            THEN format('has a door that lets be read: %s', coalesce(pg_get_expr(polqual, polrelid), 'nothing'))
            ELSE format('has a door that lets be written: %s', coalesce(pg_get_expr(polwithcheck, polrelid), 'as read'))
       END,
       format('DROP POLICY IF EXISTS door ON %1$s; CREATE POLICY door ON %1$s AS PERMISSIVE FOR ALL TO %2$s '
              'USING %3$s WITH CHECK %3$s', expected.oid, names, written)
  FROM expected LEFT JOIN pg_catalog.pg_policy policy ON polrelid = expected.oid AND polname = 'door',
       LATERAL (SELECT string_agg(CASE oid WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(oid)) END, ', '
                                  ORDER BY pg_get_userbyid(oid)) AS opens_to
                  FROM unnest(polroles) AS roles (oid)) AS roles
 WHERE (polpermissive AND polcmd = '*' AND opens_to = names
        AND pg_get_expr(polqual, polrelid) = own AND pg_get_expr(polwithcheck, polrelid) = own) IS NOT TRUE
 ORDER BY 1
