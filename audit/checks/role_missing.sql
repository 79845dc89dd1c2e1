-- What: a role of db/access.toml that does not exist.
-- Why: what it should do, some other role does, by rights that nobody has judged.
-- Mend: CREATE ROLE, then run todo-api migrate for its grants.

SELECT format('%I', name),
       'does not exist',
       format('CREATE ROLE %I %s NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', name,
              CASE WHEN (entry -> 'login')::boolean THEN 'LOGIN NOINHERIT' ELSE 'NOLOGIN' END)
  FROM jsonb_each(current_setting('audit.access')::jsonb -> 'roles') AS spec (name, entry)
 WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles)
 ORDER BY 1
