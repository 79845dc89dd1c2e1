-- What: a sequence in schema app.
-- Why: row-level security does not reach it: its numbers tell each user how many rows the others make.
-- Mend: DROP SEQUENCE, and let app.uuidv7() make the ids.

SELECT pg_class.oid::regclass::text,
       'counts the rows of all users',
       CASE WHEN identity.attname IS NULL THEN format('DROP SEQUENCE IF EXISTS %s CASCADE', pg_class.oid::regclass)
            ELSE format('ALTER TABLE IF EXISTS %s ALTER COLUMN %I DROP IDENTITY IF EXISTS', attrelid::regclass, attname)
       END
  FROM pg_catalog.pg_class
  LEFT JOIN pg_catalog.pg_depend ON classid = 'pg_catalog.pg_class'::regclass AND objid = pg_class.oid AND deptype = 'i'
                                    AND refclassid = 'pg_catalog.pg_class'::regclass AND refobjsubid > 0
  LEFT JOIN pg_catalog.pg_attribute identity ON attrelid = refobjid AND attnum = refobjsubid
 WHERE relnamespace = to_regnamespace('app') AND relkind = 'S'
 ORDER BY 1
