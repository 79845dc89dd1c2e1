-- What: a role of db/access.toml that is a superuser, bypasses row-level security, makes roles or databases, replicates,
--   logs in though it should not (or the other way round), or logs in and inherits.
-- Why: such a role passes row-level security by, or can make itself one that does.
-- Mend: ALTER ROLE ... NOSUPERUSER, NOBYPASSRLS and so on.

WITH spec AS (
  SELECT pg_roles.*, (entry -> 'login')::boolean AS may_login
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'roles') AS spec (name, entry)
    JOIN pg_catalog.pg_roles ON rolname = name
)
SELECT format('%I', rolname), what, format('ALTER ROLE %I %s', rolname, mend)
  FROM spec,
       LATERAL (VALUES
         (rolsuper, 'is a superuser', 'NOSUPERUSER'),
         (rolbypassrls, 'bypasses row-level security', 'NOBYPASSRLS'),
         (rolcreaterole, 'makes roles, and may become another', 'NOCREATEROLE'),
         (rolcreatedb, 'makes databases', 'NOCREATEDB'),
         (rolreplication, 'replicates, which shows every row', 'NOREPLICATION'),
         (rolcanlogin AND NOT may_login, 'logs in', 'NOLOGIN'),
         (may_login AND NOT rolcanlogin, 'cannot log in', 'LOGIN'),
         (may_login AND rolinherit, 'inherits what it is a member of', 'NOINHERIT')
       ) AS faults (is_so, what, mend)
 WHERE is_so
 ORDER BY 1, 2
