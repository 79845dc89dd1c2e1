-- What: a privilege on a schema that db/access.toml does not grant, of anybody in its schemas, and elsewhere of its roles
--   or, to CREATE, of everybody.
-- Why: who may create in a schema puts there what others call by its name.
-- Mend: REVOKE.

SELECT oid::regnamespace::text,
       format('%s may %s', named.grantee, privilege_type),
       format('REVOKE %s ON SCHEMA %s FROM %s CASCADE', privilege_type, oid::regnamespace, named.grantee)
  FROM pg_catalog.pg_namespace, LATERAL aclexplode(nspacl) AS acl,
       LATERAL (SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
               AS named (grantee)
 WHERE acl.grantee <> nspowner
   AND (current_setting('audit.access')::jsonb -> 'schemas' ? nspname::text
        OR acl.grantee = 0 AND privilege_type = 'CREATE'
        OR pg_get_userbyid(acl.grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')))
   AND (current_setting('audit.access')::jsonb #> ARRAY['schemas', nspname, pg_get_userbyid(acl.grantee)]
        ? privilege_type) IS NOT TRUE
 ORDER BY 1, 2
