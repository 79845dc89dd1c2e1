-- What: EXECUTE on a function that db/access.toml does not grant, of anybody in its schemas, and of its roles elsewhere.
-- Why: a function does for who calls it what that role could not do alone, once someone changes it.
-- Mend: REVOKE.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
)
SELECT pg_proc.oid::regprocedure::text,
       format('%s may %s', named.grantee, privilege_type),
       format('REVOKE %s ON ROUTINE %s FROM %s CASCADE', privilege_type, pg_proc.oid::regprocedure, named.grantee)
  FROM pg_catalog.pg_proc,
       LATERAL aclexplode(CASE WHEN pronamespace IN (SELECT oid FROM spec) THEN coalesce(proacl, acldefault('f', proowner))
                               ELSE proacl END) AS acl,
       LATERAL (SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
               AS named (grantee)
 WHERE (proacl IS NOT NULL OR pronamespace IN (SELECT oid FROM spec)) AND acl.grantee <> proowner
   AND (pronamespace IN (SELECT oid FROM spec)
        OR pg_get_userbyid(acl.grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')))
   AND (current_setting('audit.access')::jsonb
        #> ARRAY['functions', pg_proc.oid::regprocedure::text, pg_get_userbyid(acl.grantee)] ? privilege_type) IS NOT TRUE
 ORDER BY 1, 2
