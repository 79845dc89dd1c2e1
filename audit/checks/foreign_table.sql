-- What: a foreign table in schema app.
-- Why: its rows lie on another server, and no policy of this one guards them.
-- Mend: DROP FOREIGN TABLE, which leaves the rows where they are.

SELECT oid::regclass::text,
       'is a foreign table, which has no policies',
       format('DROP FOREIGN TABLE IF EXISTS %s', oid::regclass)
  FROM pg_catalog.pg_class
 WHERE relnamespace = to_regnamespace('app') AND relkind = 'f'
 ORDER BY 1
