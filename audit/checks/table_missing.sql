-- What: a table or a column of db/access.toml that schema app does not have.
-- Why: what is not there cannot be judged; rows may lie somewhere else, where nothing guards them.
-- Mend: run todo-api migrate, or correct db/access.toml.

WITH spec AS (
  SELECT name, entry, to_regclass(format('app.%I', name)) AS oid
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
)
SELECT format('app.%I', name), 'does not exist', '-- In a shell: todo-api migrate' FROM spec WHERE oid IS NULL
UNION
SELECT format('app.%I.%I', name, needed), 'does not exist', '-- In a shell: todo-api migrate'
  FROM spec,
       LATERAL (SELECT entry ->> 'owner_column'
                UNION
                SELECT jsonb_array_elements_text(grants -> command)
                  FROM jsonb_each(entry -> 'access') AS access (role, grants),
                       (VALUES ('select'), ('insert'), ('update')) AS commands (command)) AS columns (needed)
 WHERE oid IS NOT NULL
   AND needed::name <> ALL (ARRAY(SELECT attname FROM pg_catalog.pg_attribute
                                   WHERE attrelid = spec.oid AND attnum > 0 AND NOT attisdropped))
 ORDER BY 1
