-- What: a type, language, foreign server, foreign-data wrapper, large object, tablespace or parameter that is granted to a
--   role of db/access.toml, or a parameter that is granted to everybody.
-- Why: db/access.toml grants none; SET on session_replication_role switches triggers and foreign keys off.
-- Mend: REVOKE.

WITH granted (kind, name, acl) AS (
  SELECT 'TYPE', oid::regtype::text, typacl FROM pg_catalog.pg_type
  UNION ALL SELECT 'LANGUAGE', quote_ident(lanname), lanacl FROM pg_catalog.pg_language
  UNION ALL SELECT 'FOREIGN SERVER', quote_ident(srvname), srvacl FROM pg_catalog.pg_foreign_server
  UNION ALL SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), fdwacl FROM pg_catalog.pg_foreign_data_wrapper
  UNION ALL SELECT 'LARGE OBJECT', oid::text, lomacl FROM pg_catalog.pg_largeobject_metadata
  UNION ALL SELECT 'TABLESPACE', quote_ident(spcname), spcacl FROM pg_catalog.pg_tablespace
  UNION ALL SELECT 'PARAMETER', parname, paracl FROM pg_catalog.pg_parameter_acl
)
SELECT format('%s %s', lower(kind), name),
       format('%s may %s', named.grantee, privilege_type),
       format('REVOKE %s ON %s %s FROM %s CASCADE', privilege_type, kind, name, named.grantee)
  FROM granted, LATERAL aclexplode(granted.acl) AS acl,
       LATERAL (SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
               AS named (grantee)
 WHERE acl.grantee = 0 AND kind = 'PARAMETER'
    OR pg_get_userbyid(acl.grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')
                                        EXCEPT SELECT 'todo_owner')
 ORDER BY 1, 2
