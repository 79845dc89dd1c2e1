-- What: a privilege in a schema of db/access.toml that who has it may grant to others.
-- Why: whom it is granted to next is then not in db/access.toml's hands.
-- Mend: REVOKE GRANT OPTION FOR.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
),
granted (target, columns, acl, owner) AS (
  SELECT 'SCHEMA ' || pg_namespace.oid::regnamespace, '', nspacl, nspowner
    FROM pg_catalog.pg_namespace JOIN spec USING (oid)
  UNION ALL
  SELECT 'ROUTINE ' || pg_proc.oid::regprocedure, '', proacl, proowner
    FROM pg_catalog.pg_proc JOIN spec ON pronamespace = spec.oid
  UNION ALL
  SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END || pg_class.oid::regclass, '', relacl, relowner
    FROM pg_catalog.pg_class JOIN spec ON relnamespace = spec.oid
  UNION ALL
  SELECT attrelid::regclass::text, format(' (%I)', attname), attacl, relowner
    FROM pg_catalog.pg_class JOIN spec ON relnamespace = spec.oid
    JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
)
SELECT regexp_replace(target, '^(SCHEMA|ROUTINE|SEQUENCE) ', '') || columns,
       format('%I may grant %s to others', pg_get_userbyid(grantee), privilege_type),
       format('REVOKE GRANT OPTION FOR %s%s ON %s FROM %I CASCADE', privilege_type, columns, target, pg_get_userbyid(grantee))
  FROM granted, LATERAL aclexplode(acl)
 WHERE is_grantable AND grantee <> owner
 ORDER BY 1, 2
