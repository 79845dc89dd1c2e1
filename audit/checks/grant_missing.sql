-- What: a privilege that db/access.toml grants and the database does not.
-- Why: the service fails where it needs it, and whoever mends that in haste grants too much.
-- Mend: GRANT.

WITH access AS (
  SELECT current_setting('audit.access')::jsonb AS access
),
needed (target, acl, owner, privilege, role) AS (
  SELECT 'SCHEMA ' || quote_ident(name), nspacl, nspowner, jsonb_array_elements_text(privileges), role
    FROM access, jsonb_each(access -> 'schemas') AS schemas (name, entry), jsonb_each(entry) AS entries (role, privileges)
    JOIN pg_catalog.pg_namespace ON true
   WHERE nspname = name
  UNION ALL
  SELECT 'FUNCTION ' || name, proacl, proowner, jsonb_array_elements_text(privileges), role
    FROM access, jsonb_each(access -> 'functions') AS functions (name, entry), jsonb_each(entry) AS entries (role, privileges)
    JOIN pg_catalog.pg_proc ON true
   WHERE pg_proc.oid = to_regprocedure(name)
  UNION ALL
  SELECT oid::regclass::text, relacl, relowner, 'DELETE', role
    FROM access, jsonb_each(access -> 'tables') AS tables (name, entry), jsonb_each(entry -> 'access') AS entries (role, grants)
    JOIN pg_catalog.pg_class ON true
   WHERE pg_class.oid = to_regclass(format('app.%I', name)) AND (grants -> 'delete')::boolean
  UNION ALL
  SELECT pg_class.oid::regclass::text, attacl, relowner, format('%s (%I)', upper(command), attname), role
    FROM access, jsonb_each(access -> 'tables') AS tables (name, entry),
         jsonb_each(entry -> 'access') AS entries (role, grants),
         (VALUES ('select'), ('insert'), ('update')) AS commands (command)
    JOIN pg_catalog.pg_class ON true JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
   WHERE pg_class.oid = to_regclass(format('app.%I', name)) AND grants -> command ? attname::text
)
SELECT regexp_replace(target, '^(SCHEMA|FUNCTION) ', ''),
       format('%I may not %s', role, privilege),
       format('GRANT %s ON %s TO %I', privilege, target, role)
  FROM needed JOIN pg_catalog.pg_roles ON rolname = role
 WHERE NOT EXISTS (SELECT FROM aclexplode(acl)
                    WHERE grantee = pg_roles.oid AND privilege_type = split_part(privilege, ' ', 1))
 ORDER BY 1, 2
