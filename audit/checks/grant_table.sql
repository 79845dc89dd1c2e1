-- What: a privilege on a whole table, view or sequence that db/access.toml does not grant, of anybody in its schemas,
--   and of its roles in every schema.
-- Why: what is granted on a whole table is granted on every column that it will ever have.
-- Mend: REVOKE, then GRANT the columns that db/access.toml names.

WITH spec AS (
  SELECT to_regnamespace(quote_ident(name)) AS oid
    FROM jsonb_object_keys(current_setting('audit.access')::jsonb -> 'schemas') AS spec (name)
),
granted AS (
  SELECT pg_class.oid, relkind, relname, privilege_type, pg_get_userbyid(grantee) AS role, grantee = 0 AS is_public,
         current_setting('audit.access')::jsonb #> ARRAY['tables', relname, 'access', pg_get_userbyid(grantee)] AS entry,
         relnamespace = to_regnamespace('app') AS in_app
    FROM pg_catalog.pg_class, LATERAL aclexplode(relacl)
   WHERE grantee <> relowner AND privilege_type NOT IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN')
     AND (relnamespace IN (SELECT oid FROM spec)
          OR pg_get_userbyid(grantee) IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles')))
)
SELECT oid::regclass::text,
       format('%s may %s', grantee, privilege_type),
       concat(format('REVOKE %s ON %s%s FROM %s CASCADE', privilege_type,
                     CASE relkind WHEN 'S' THEN 'SEQUENCE ' END, oid::regclass, grantee),
              -- which takes the columns along
              (SELECT format('; GRANT %s (%s) ON %s TO %s', privilege_type, string_agg(quote_ident(name), ', '),
                             oid::regclass, grantee)
                 FROM jsonb_array_elements_text(
                        CASE WHEN in_app AND privilege_type <> 'DELETE' THEN entry -> lower(privilege_type) END)
                      AS columns (name)
               HAVING count(*) > 0))
  FROM granted,
       LATERAL (SELECT CASE WHEN is_public THEN 'PUBLIC' ELSE quote_ident(role) END) AS named (grantee)
 WHERE (in_app AND privilege_type = 'DELETE' AND (entry -> 'delete')::boolean) IS NOT TRUE
 ORDER BY 1, 2
