-- What: a view of any schema that reads a table of db/access.toml, directly or by another view, as the view's owner.
-- Why: the policies are asked for the owner of the view instead of for who reads it; a superuser's view shows every row.
-- Mend: ALTER VIEW ... SET (security_invoker = true, security_barrier = true), the latter as pgrls wants it.

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
SELECT pg_class.oid::regclass::text,
       format('reads as its owner, %I', pg_get_userbyid(relowner)),
       format('ALTER VIEW %s SET (security_invoker = true, security_barrier = true)', pg_class.oid::regclass)
  FROM reached JOIN pg_catalog.pg_class ON pg_class.oid = reached.oid AND relkind = 'v'
 WHERE NOT EXISTS (SELECT FROM pg_options_to_table(reloptions)
                    WHERE option_name = 'security_invoker' AND option_value::boolean)
 ORDER BY 1
