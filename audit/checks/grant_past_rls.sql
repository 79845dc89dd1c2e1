-- What: TRUNCATE, REFERENCES, TRIGGER or MAINTAIN on a table or a column, granted to anybody but its owner.
-- Why: none of these asks row-level security: TRUNCATE empties the table for all users, REFERENCES tells which rows exist.
-- Mend: REVOKE.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
)
SELECT pg_class.oid::regclass::text,
       format('%s may %s%s', grantee_name, privilege_type, ' (' || quote_ident(attname) || ')'),
       format('REVOKE %s%s ON %s FROM %s CASCADE', privilege_type, ' (' || quote_ident(attname) || ')', pg_class.oid::regclass,
              grantee_name)
  FROM pg_catalog.pg_class JOIN spec ON spec.oid = relnamespace
 CROSS JOIN LATERAL (SELECT NULL::name AS attname, relacl AS acl
                     UNION ALL
                     SELECT attname, attacl FROM pg_catalog.pg_attribute WHERE attrelid = pg_class.oid) AS lists,
       LATERAL aclexplode(acl),
       LATERAL (SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS named (grantee_name)
 WHERE grantee <> relowner AND privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
 ORDER BY 1, 2
