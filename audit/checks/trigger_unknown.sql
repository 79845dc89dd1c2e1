-- What: a trigger on a table of db/access.toml, other than the one that advances updated_at.
-- Why: a trigger sees each row that is written, and may carry it elsewhere or change whose it is.
-- Mend: DROP TRIGGER.

SELECT tgrelid::regclass::text,
       format('has a trigger %I, which calls %s', tgname, tgfoid::regprocedure),
       format('DROP TRIGGER IF EXISTS %I ON %s', tgname, tgrelid::regclass)
  FROM pg_catalog.pg_trigger JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
 WHERE NOT tgisinternal AND tgparentid = 0
   AND relnamespace = to_regnamespace('app') AND current_setting('audit.access')::jsonb -> 'tables' ? relname::text
   AND pg_get_triggerdef(pg_trigger.oid) <> format(
         'CREATE TRIGGER advance_updated_at BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION app.advance_updated_at()',
         tgrelid::regclass)
 ORDER BY 1, 2
