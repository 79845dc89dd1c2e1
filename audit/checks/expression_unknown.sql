-- What: a CHECK, a default, a generated column, an index or statistics on a table of db/access.toml that calls a function
--   or an operator which is neither Postgres's own nor in db/access.toml.
-- Why: it is called with each row that is written, by whoever writes it, and may carry the row elsewhere.
-- Mend: drop what calls it.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name))::oid AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'tables') AS spec (name)
),
expressions (classid, objid, relid, what, mend) AS (
  SELECT 'pg_catalog.pg_constraint'::regclass, pg_constraint.oid, conrelid, format('constraint %I', conname),
         format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', conrelid::regclass, conname)
    FROM pg_catalog.pg_constraint JOIN spec ON conrelid = spec.oid
   WHERE contype = 'c'
  UNION ALL
  SELECT 'pg_catalog.pg_attrdef'::regclass, pg_attrdef.oid, adrelid, format('column %I', attname),
         CASE attgenerated WHEN '' THEN format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', adrelid::regclass, attname)
              ELSE format('ALTER TABLE %s DROP COLUMN IF EXISTS %I', adrelid::regclass, attname) END
    FROM pg_catalog.pg_attrdef JOIN spec ON adrelid = spec.oid
    JOIN pg_catalog.pg_attribute ON attrelid = adrelid AND attnum = adnum
  UNION ALL
  SELECT 'pg_catalog.pg_class'::regclass, indexrelid, indrelid, format('index %s', indexrelid::regclass),
         format('DROP INDEX IF EXISTS %s', indexrelid::regclass)
    FROM pg_catalog.pg_index JOIN spec ON indrelid = spec.oid
   WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
  UNION ALL
  SELECT 'pg_catalog.pg_statistic_ext'::regclass, pg_statistic_ext.oid, stxrelid, format('statistics %I', stxname),
         format('DROP STATISTICS IF EXISTS %s.%I', stxnamespace::regnamespace, stxname)
    FROM pg_catalog.pg_statistic_ext JOIN spec ON stxrelid = spec.oid
)
-- What is Postgres's own is in no row of pg_depend.
SELECT DISTINCT relid::regclass::text,
       format('calls %s in its %s', pg_describe_object(refclassid, refobjid, 0), what),
       mend
  FROM expressions JOIN pg_catalog.pg_depend USING (classid, objid)
 WHERE refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
   AND NOT (refclassid = 'pg_catalog.pg_proc'::regclass
            AND current_setting('audit.access')::jsonb -> 'functions' ? refobjid::regprocedure::text)
 ORDER BY 1, 2
