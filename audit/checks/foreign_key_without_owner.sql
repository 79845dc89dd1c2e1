-- What: a foreign key of or to a table of db/access.toml that does not go from owner to owner first, or that comes from
--   a table db/access.toml does not know.
-- Why: foreign keys pass row-level security by: they tell whether another user's row exists, and ON DELETE reaches it.
-- Mend: ALTER TABLE ... DROP CONSTRAINT.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid, entry ->> 'owner_column' AS owner_column
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
)
SELECT conrelid::regclass::text,
       format('has a foreign key %I that passes row-level security by: %s', conname, pg_get_constraintdef(pg_constraint.oid)),
       format('ALTER TABLE IF EXISTS %s DROP CONSTRAINT IF EXISTS %I', conrelid::regclass, conname)
  FROM pg_catalog.pg_constraint
  LEFT JOIN spec child ON child.oid = conrelid
  LEFT JOIN spec parent ON parent.oid = confrelid
  LEFT JOIN pg_catalog.pg_attribute refers ON refers.attrelid = conrelid AND refers.attnum = conkey[1]
  LEFT JOIN pg_catalog.pg_attribute referred ON referred.attrelid = confrelid AND referred.attnum = confkey[1]
 WHERE contype = 'f' AND conparentid = 0 AND (child.oid IS NOT NULL OR parent.oid IS NOT NULL)
   AND (refers.attname = child.owner_column AND referred.attname = parent.owner_column) IS NOT TRUE
 ORDER BY 1, 2
