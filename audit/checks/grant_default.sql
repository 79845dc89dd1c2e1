-- What: default privileges that grant what todo_owner makes, or what is made in a schema of db/access.toml, to others, or
--   that grant anything to a role of db/access.toml.
-- Why: whatever a migration makes next is open before its own grants are written.
-- Mend: ALTER DEFAULT PRIVILEGES ... REVOKE.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
),
kinds (kind, name) AS (
  VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS'), ('L', 'LARGE OBJECTS')
)
SELECT format('%I', pg_get_userbyid(defaclrole)),
       format('%s may %s on %s that it makes%s', named.grantee, privilege_type, lower(kinds.name),
              ' in schema ' || nullif(defaclnamespace, 0)::regnamespace),
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON %s FROM %s', pg_get_userbyid(defaclrole),
              ' IN SCHEMA ' || nullif(defaclnamespace, 0)::regnamespace, privilege_type, kinds.name, named.grantee)
  FROM pg_catalog.pg_default_acl JOIN kinds ON kind = defaclobjtype::text, LATERAL aclexplode(defaclacl) AS acl,
       LATERAL (SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
               AS named (grantee)
 WHERE acl.grantee <> defaclrole
   AND NOT (kind = 'T' AND acl.grantee = 0 AND defaclnamespace = 0)  -- as Postgres has it
   AND (pg_get_userbyid(defaclrole) = 'todo_owner' OR defaclnamespace IN (SELECT oid FROM spec)
        OR pg_get_userbyid(acl.grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')))
UNION ALL
SELECT format('%I', rolname),
       'PUBLIC may EXECUTE on functions that it makes',
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC', rolname)
  FROM pg_catalog.pg_roles
 WHERE rolname = 'todo_owner'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_default_acl
                    WHERE defaclrole = pg_roles.oid AND defaclnamespace = 0 AND defaclobjtype = 'f')
 ORDER BY 1, 2
