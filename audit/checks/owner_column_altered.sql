-- What: an owner's column that is not text NOT NULL DEFAULT app.current_user_id() in a collation that tells all apart.
-- Why: a row without an owner is nobody's, and a collation that ignores case makes alice and ALICE one user.
-- Mend: ALTER TABLE ... ALTER COLUMN ... SET NOT NULL, SET DEFAULT app.current_user_id().

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid, entry ->> 'owner_column' AS owner_column
    FROM jsonb_each(current_setting('audit.access')::jsonb -> 'tables') AS spec (name, entry)
)
SELECT format('%s.%I', spec.oid, owner_column), what, mend
  FROM spec
  JOIN pg_catalog.pg_attribute ON attrelid = spec.oid AND attname = owner_column AND NOT attisdropped
  LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
  LEFT JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation,
       LATERAL (VALUES
         (attnotnull, 'may be NULL', format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', spec.oid, owner_column)),
         (attgenerated = '' AND pg_get_expr(adbin, adrelid) IS NOT DISTINCT FROM 'app.current_user_id()',
          'is not the caller by default',
          format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT app.current_user_id()', spec.oid, owner_column)),
         (atttypid = 'text'::regtype AND collisdeterministic IS NOT FALSE,
          'is not text that tells all users apart',
          format('-- Drop the policies of %s, make the column text COLLATE "default", and run todo-api migrate.', spec.oid))
       ) AS needed (is_so, what, mend)
 WHERE NOT is_so
 ORDER BY 1, 2
