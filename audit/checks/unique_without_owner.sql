-- What: a unique index, or an exclusion, that does not start with the owner's column being equal.
-- Why: it compares the rows of all users: a conflict tells one user what another has.
-- Mend: drop it, and make it anew with the owner's column first.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid, entry ->> 'owner_column' AS owner_column
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
)
SELECT indexrelid::regclass::text,
       format('compares rows of all users of %s: %s', spec.oid, pg_get_indexdef(indexrelid)),
       CASE WHEN conname IS NULL THEN format('DROP INDEX IF EXISTS %s', indexrelid::regclass)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', spec.oid, conname) END
  FROM spec
  JOIN pg_catalog.pg_index ON indrelid = spec.oid AND (indisunique OR indisexclusion)
  LEFT JOIN pg_catalog.pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u', 'x')
  LEFT JOIN pg_catalog.pg_attribute ON attrelid = spec.oid AND attnum = indkey[0]
 WHERE attname IS DISTINCT FROM owner_column
    OR indisexclusion AND (SELECT oprname FROM pg_catalog.pg_operator WHERE pg_operator.oid = conexclop[1]) <> '='
 ORDER BY 1
