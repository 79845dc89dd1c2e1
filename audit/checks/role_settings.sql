-- What: a setting of a role of db/access.toml that is missing there or in the database, or has another value.
-- Why: a limit that is gone lets one request hold up all others, and ALTER ROLE ... SET app.user_id makes every
--   transaction that names no caller somebody's.
-- Mend: ALTER ROLE ... SET, or RESET.

WITH spec AS (
  SELECT pg_roles.oid, role, coalesce(setting, '') AS setting, value,
         CASE WHEN setting = 'search_path' AND value = '' THEN '""' ELSE value END AS kept  -- as Postgres writes it down
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'roles') AS roles (role, entry)
    JOIN pg_catalog.pg_roles ON rolname = role
    LEFT JOIN LATERAL jsonb_each_text(entry -> 'settings') AS settings (setting, value) ON true
),
found AS (
  SELECT setrole, datname, split_part(written, '=', 1) AS setting, substr(written, strpos(written, '=') + 1) AS value
    FROM pg_catalog.pg_db_role_setting
    LEFT JOIN pg_catalog.pg_database ON pg_database.oid = setdatabase,
         unnest(setconfig) AS configured (written)
   WHERE setrole IN (SELECT oid FROM spec) AND (setdatabase = 0 OR datname = current_database())
)
SELECT format('%I', role), format('has no %s', spec.setting), format('ALTER ROLE %I SET %s = %L', role, spec.setting, spec.value)
  FROM spec LEFT JOIN found ON setrole = oid AND datname IS NULL AND found.setting = spec.setting
 WHERE spec.setting <> '' AND found.setting IS NULL
UNION ALL
SELECT DISTINCT format('%I', pg_get_userbyid(setrole)),
       format('sets %s to %s%s', found.setting, found.value, ' in database ' || datname),
       CASE WHEN spec.oid IS NULL OR datname IS NOT NULL
            THEN format('ALTER ROLE %I%s RESET %s', pg_get_userbyid(setrole), ' IN DATABASE ' || quote_ident(datname),
                        (SELECT string_agg(quote_ident(part), '.') FROM string_to_table(found.setting, '.') AS part))
            ELSE format('ALTER ROLE %I SET %s = %L', role, spec.setting, spec.value) END
  FROM found LEFT JOIN spec ON setrole = oid AND found.setting = spec.setting
 WHERE spec.oid IS NULL OR datname IS NOT NULL OR found.value <> spec.kept
 ORDER BY 1, 2
