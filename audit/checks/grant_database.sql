-- What: CREATE on this database of everybody, or CREATE or TEMPORARY of a role of db/access.toml, that Postgres does not
--   grant by itself.
-- Why: a role that makes schemas and tables of its own puts there what others take for theirs.
-- Mend: REVOKE.

SELECT format('%I', datname),
       format('%s may %s', named.grantee, privilege_type),
       format('REVOKE %s ON DATABASE %I FROM %s CASCADE', privilege_type, datname, named.grantee)
  FROM pg_catalog.pg_database, LATERAL aclexplode(datacl) AS acl,
       LATERAL (SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
               AS named (grantee)
 WHERE datname = current_database() AND acl.grantee <> datdba
   AND (acl.grantee = 0 AND privilege_type = 'CREATE'
        OR privilege_type IN ('CREATE', 'TEMPORARY')
           AND pg_get_userbyid(acl.grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')))
 ORDER BY 1, 2
