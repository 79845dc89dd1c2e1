-- What: a schema of db/access.toml, or something in it, that does not belong to todo_owner.
-- Why: an owner may switch row-level security off and grant what it owns; nobody logs in as todo_owner.
-- Mend: ALTER ... OWNER TO todo_owner.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
),
owned (kind, if_exists, name, owner) AS (
  SELECT 'SCHEMA', '', pg_namespace.oid::regnamespace::text, nspowner FROM spec JOIN pg_catalog.pg_namespace USING (oid)
  UNION ALL
  SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                      WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, 'IF EXISTS ', pg_class.oid::regclass::text, relowner
    FROM spec JOIN pg_catalog.pg_class ON relnamespace = spec.oid
   WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
     -- A column's sequence belongs to whom its table does.
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                      WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = pg_class.oid AND relkind = 'S'
                        AND refclassid = 'pg_catalog.pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i'))
  UNION ALL
  SELECT CASE prokind WHEN 'a' THEN 'AGGREGATE' ELSE 'ROUTINE' END, '', pg_proc.oid::regprocedure::text, proowner
    FROM spec JOIN pg_catalog.pg_proc ON pronamespace = spec.oid
  UNION ALL
  SELECT CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, '', pg_type.oid::regtype::text, typowner
    FROM spec JOIN pg_catalog.pg_type ON typnamespace = spec.oid
   WHERE typtype IN ('b', 'd', 'e', 'r', 'c') AND typelem = 0
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE pg_class.oid = typrelid AND relkind <> 'c')
  UNION ALL
  SELECT 'COLLATION', '', pg_collation.oid::regcollation::text, collowner
    FROM spec JOIN pg_catalog.pg_collation ON collnamespace = spec.oid
  UNION ALL
  SELECT 'OPERATOR', '', pg_operator.oid::regoperator::text, oprowner
    FROM spec JOIN pg_catalog.pg_operator ON oprnamespace = spec.oid
)
SELECT name,
       format('%s belongs to %I', lower(kind), pg_get_userbyid(owner)),
       format('ALTER %s %s%s OWNER TO todo_owner', kind, if_exists, name)
  FROM owned
 WHERE pg_get_userbyid(owner) <> 'todo_owner'
 ORDER BY 1, 2
