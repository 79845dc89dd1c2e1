-- What: a table of db/access.toml that inherits from another, is a partition, or has tables that inherit from it.
-- Why: only the policies of the table that a statement names are asked: the other one is a way around them.
-- Mend: ALTER TABLE ... NO INHERIT, or DETACH PARTITION.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'tables') AS spec (name)
)
SELECT inhrelid::regclass::text,
       format('%s %s', CASE WHEN relispartition THEN 'is a partition of' ELSE 'inherits from' END, inhparent::regclass),
       CASE WHEN relispartition THEN format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, inhrelid::regclass)
            ELSE format('ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, inhparent::regclass) END
  FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid
 WHERE inhrelid IN (SELECT oid FROM spec) OR inhparent IN (SELECT oid FROM spec)
 ORDER BY 1, 2
