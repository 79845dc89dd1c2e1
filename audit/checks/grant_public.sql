-- What: a table, view or sequence of another schema that everybody may use, those of extensions apart.
-- Why: todo_api is everybody too: a copy of the tasks that was made in haste is then anybody's to read.
-- Mend: REVOKE ... FROM PUBLIC.

SELECT pg_class.oid::regclass::text,
       format('PUBLIC may %s', string_agg(privilege_type, ', ' ORDER BY privilege_type)),
       format('REVOKE ALL ON %s FROM PUBLIC CASCADE', pg_class.oid::regclass)
  FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace,
       LATERAL aclexplode(relacl) AS acl
 WHERE grantee = 0 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
   AND nspname NOT IN ('pg_catalog', 'information_schema')
   AND nspname NOT IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas'))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                    WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
 GROUP BY pg_class.oid
 ORDER BY 1
