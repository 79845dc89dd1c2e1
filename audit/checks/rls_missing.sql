-- What: a table without row-level security, or without FORCE.
-- Why: without it, policies are not asked; without FORCE, not when the owner asks, nor for what runs with the owner's
--   rights.
-- Mend: ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY.

SELECT oid::regclass::text,
       format('does not %s row-level security', missing),
       format('ALTER TABLE %s %s ROW LEVEL SECURITY', oid::regclass, upper(missing))
  FROM pg_class,
       LATERAL (VALUES ('enable', relrowsecurity), ('force', relforcerowsecurity)) AS switch (missing, is_on)
 WHERE relnamespace = to_regnamespace('app') AND relkind IN ('r', 'p') AND NOT is_on
 ORDER BY 1, 2
