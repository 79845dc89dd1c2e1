-- What: a publication of a table of db/access.toml.
-- Why: a subscriber gets the rows of all users: row-level security is not asked when they are sent.
-- Mend: take the table out of the publication, or DROP PUBLICATION.

WITH spec AS (
  SELECT to_regclass(format('app.%I', name))::oid AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'tables') AS spec (name)
)
SELECT format('%I', pubname), 'publishes every table', format('DROP PUBLICATION IF EXISTS %I', pubname)
  FROM pg_catalog.pg_publication WHERE puballtables
UNION ALL
SELECT format('%I', pubname), 'publishes every table of schema app',
       format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA app', pubname)
  FROM pg_catalog.pg_publication_namespace JOIN pg_catalog.pg_publication ON pg_publication.oid = pnpubid
 WHERE pnnspid = to_regnamespace('app')
UNION ALL
SELECT format('%I', pubname), format('publishes %s', prrelid::regclass),
       format('ALTER PUBLICATION %I DROP TABLE %s', pubname, prrelid::regclass)
  FROM pg_catalog.pg_publication_rel JOIN pg_catalog.pg_publication ON pg_publication.oid = prpubid
 WHERE prrelid IN (SELECT oid FROM spec)
 ORDER BY 1, 2
