-- What: a table of schema app that db/access.toml does not know.
-- Why: nobody has said whose its rows are, so nothing can judge who may see them.
-- Mend: describe it in db/access.toml and db/policies/, or move it out of schema app: ALTER TABLE ... SET SCHEMA.

SELECT oid::regclass::text,
       'is not in db/access.toml',
       format('ALTER TABLE IF EXISTS %s SET SCHEMA public', oid::regclass)
  FROM pg_catalog.pg_class
 WHERE relnamespace = to_regnamespace('app') AND relkind IN ('r', 'p')
   AND NOT current_setting('audit.access')::jsonb -> 'tables' ? relname::text
 ORDER BY 1
