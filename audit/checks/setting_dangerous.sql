-- What: row_security, session_replication_role, role, search_path or an app.* setting that is set for every role, of this
--   database or of all, or by the server itself.
-- Why: it is in force before anybody has asked: each transaction that names no caller is somebody's, or triggers are off.
-- Mend: ALTER DATABASE ... RESET, or ALTER ROLE ALL RESET.

SELECT coalesce(quote_ident(datname), 'every database'),
       format('sets %s to %s for every role', setting, substr(written, strpos(written, '=') + 1)),
       format('ALTER %s RESET %s', coalesce('DATABASE ' || quote_ident(datname), 'ROLE ALL'),
              (SELECT string_agg(quote_ident(part), '.') FROM string_to_table(setting, '.') AS part))
  FROM pg_catalog.pg_db_role_setting
  LEFT JOIN pg_catalog.pg_database ON pg_database.oid = setdatabase,
       unnest(setconfig) AS configured (written),
       split_part(written, '=', 1) AS setting
 WHERE setrole = 0 AND (setdatabase = 0 OR datname = current_database())
   AND (lower(setting) IN ('row_security', 'session_replication_role', 'role', 'search_path') OR setting ILIKE 'app.%')
 UNION ALL
-- postgresql.conf, or the URL of who looks
SELECT 'this session',
       format('began with %s set to %s', name, value),
       format('-- Take %s out of postgresql.conf, or ALTER SYSTEM RESET it, or out of the URL.', name)
  FROM (VALUES ('app.user_id', nullif(current_setting('app.user_id', true), '')),
               ('session_replication_role', nullif(current_setting('session_replication_role'), 'origin')))
         AS settings (name, value)
 WHERE value IS NOT NULL
 ORDER BY 1, 2
