-- What: a table without an index that starts with its owner's column.
-- Why: each statement of each user then reads everybody's rows, and how long it takes tells how many there are.
-- Mend: CREATE INDEX on the owner's column.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid, entry ->> 'owner_column' AS owner_column
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
)
SELECT spec.oid::text, format('has no index that starts with %I', owner_column),
       format('CREATE INDEX ON %s (%I)', spec.oid, owner_column)
  FROM spec JOIN pg_catalog.pg_attribute ON attrelid = spec.oid AND attname = owner_column AND NOT attisdropped
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_index
                    WHERE indrelid = spec.oid AND indkey[0] = attnum AND indisvalid AND indpred IS NULL)
 ORDER BY 1
