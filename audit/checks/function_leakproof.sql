-- What: a function that is said to be leakproof and is not Postgres's own, nor of an extension.
-- Why: what is leakproof is asked before the policies are: it sees the rows of all users, and may tell of them.
-- Mend: ALTER FUNCTION ... NOT LEAKPROOF.

SELECT pg_proc.oid::regprocedure::text,
       'is said to be leakproof, and so sees rows that no policy let through',
       format('ALTER FUNCTION %s NOT LEAKPROOF', pg_proc.oid::regprocedure)
  FROM pg_catalog.pg_proc
 WHERE proleakproof AND prokind = 'f' AND pg_proc.oid >= 16384
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                    WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
 ORDER BY 1
