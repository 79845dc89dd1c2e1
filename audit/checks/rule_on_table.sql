-- What: a rule on a table of schema app.
-- Why: a rule does something else than was asked, with the rights of the table's owner.
-- Mend: DROP RULE.

SELECT ev_class::regclass::text,
       format('has a rule %I', rulename),
       format('DROP RULE IF EXISTS %I ON %s', rulename, ev_class::regclass)
  FROM pg_catalog.pg_rewrite JOIN pg_catalog.pg_class ON pg_class.oid = ev_class
 WHERE relnamespace = to_regnamespace('app') AND relkind IN ('r', 'p')
 ORDER BY 1, 2
