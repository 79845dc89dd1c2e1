-- What: app.current_user_id() that is missing, or is not exactly what db/policies/0010_identity.sql makes.
-- Why: every policy believes it: whoever changes it chooses who everybody is.
-- Mend: CREATE OR REPLACE FUNCTION, as db/policies/0010_identity.sql has it.

SELECT 'app.current_user_id()',
       CASE WHEN pg_proc.oid IS NULL THEN 'does not exist'
            WHEN prosecdef THEN 'runs with the rights of its owner'
            WHEN proleakproof THEN 'is said to be leakproof'
            WHEN provolatile <> 's' THEN 'is not STABLE'
            WHEN proparallel <> 's' THEN 'is not PARALLEL SAFE'
            WHEN lanname <> 'sql' OR prosqlbody IS NULL THEN 'is not in SQL that was parsed when it was made'
            WHEN proconfig IS DISTINCT FROM '{"search_path=\"\""}' THEN 'has other settings than search_path = '''''
            WHEN foreign_to_postgres THEN 'compares by an operator that is not Postgres''s own'
            ELSE format('does otherwise: %s', pg_get_function_sqlbody(pg_proc.oid)) END,
       CASE WHEN to_regnamespace('app') IS NULL THEN '-- In a shell: todo-api migrate'
            ELSE 'CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE '
                 'SET search_path = '''' RETURN nullif(current_setting(''app.user_id'', true), '''')' END
  FROM (VALUES (to_regprocedure('app.current_user_id()'))) AS identity (oid)
  LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = identity.oid
  LEFT JOIN pg_catalog.pg_language ON pg_language.oid = prolang,
       -- NULLIF is printed without its operator. What is Postgres's own is in no row of pg_depend.
       LATERAL (SELECT EXISTS (SELECT FROM pg_catalog.pg_depend
                                WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = pg_proc.oid
                                  AND refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)))
               AS calls (foreign_to_postgres)
 WHERE (NOT foreign_to_postgres AND NOT prosecdef AND NOT proleakproof AND NOT proretset AND prokind = 'f' AND prorettype = 'text'::regtype
        AND provolatile = 's' AND proparallel = 's' AND lanname = 'sql' AND proconfig = '{"search_path=\"\""}'
        AND pg_get_function_sqlbody(pg_proc.oid)
            = 'RETURN NULLIF(current_setting(''app.user_id''::text, true), ''''::text)') IS NOT TRUE
