-- What: a function in schema app whose search_path is not fixed to nothing, or to pg_catalog.
-- Why: whoever calls it chooses by their search_path which functions, operators and tables its names mean.
-- Mend: ALTER ROUTINE ... SET search_path = ''.

SELECT oid::regprocedure::text,
       'finds names by a search_path that is not its own',
       format('ALTER ROUTINE %s SET search_path = ''''', oid::regprocedure)
  FROM pg_catalog.pg_proc
 WHERE pronamespace = to_regnamespace('app') AND prokind IN ('f', 'p')
   AND NOT coalesce(proconfig && '{"search_path=\"\"", search_path=pg_catalog, "search_path=pg_catalog, pg_temp"}', false)
 ORDER BY 1
