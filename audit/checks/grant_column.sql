-- What: a privilege on a column that db/access.toml does not grant, of anybody in its schemas, and of its roles in
--   every schema.
-- Why: who may write owner_id tries the wall, and who may write created_at tells others a lie.
-- Mend: REVOKE.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
)
SELECT format('%s.%I', attrelid::regclass, attname),
       format('%s may %s', named.grantee, privilege_type),
       format('REVOKE %s (%I) ON %s FROM %s CASCADE', privilege_type, attname, attrelid::regclass, named.grantee)
  FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid,
       LATERAL aclexplode(attacl) AS acl,
       LATERAL (SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
               AS named (grantee)
 WHERE attacl IS NOT NULL AND acl.grantee <> relowner AND privilege_type <> 'REFERENCES'
   AND (relnamespace IN (SELECT oid FROM spec)
        OR pg_get_userbyid(acl.grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')))
   AND (relnamespace = to_regnamespace('app')
        AND current_setting('audit.access')::jsonb
            #> ARRAY['tables', relname, 'access', pg_get_userbyid(acl.grantee), lower(privilege_type)] ? attname::text)
       IS NOT TRUE
 ORDER BY 1, 2
