-- What: a materialized view of any schema over a table of db/access.toml, or in schema app.
-- Why: it is a copy of rows that no policy guards.
-- Mend: DROP MATERIALIZED VIEW.

WITH RECURSIVE reads AS (
  SELECT ev_class AS reader, refobjid AS source
    FROM pg_catalog.pg_depend JOIN pg_catalog.pg_rewrite ON pg_rewrite.oid = objid
   WHERE classid = 'pg_catalog.pg_rewrite'::regclass AND refclassid = 'pg_catalog.pg_class'::regclass
     AND refobjid >= 16384 AND ev_class <> refobjid
),
reached (oid) AS (
  SELECT to_regclass(format('app.%I', name))::oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'tables') AS spec (name)
  UNION
  SELECT reader FROM reads JOIN reached ON source = reached.oid
)
SELECT oid::regclass::text,
       'holds rows that no policy guards',
       format('DROP MATERIALIZED VIEW IF EXISTS %s CASCADE', oid::regclass)
  FROM pg_catalog.pg_class
 WHERE relkind = 'm' AND (relnamespace = to_regnamespace('app') OR oid IN (SELECT oid FROM reached))
 ORDER BY 1
