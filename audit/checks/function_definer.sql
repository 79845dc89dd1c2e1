-- What: a function in schema app that runs with its owner's rights, or any such outside pg_catalog that a role of
--   db/access.toml which logs in may execute.
-- Why: within it the policies are asked for its owner: one that belongs to a superuser sees every row.
-- Mend: ALTER FUNCTION ... SECURITY INVOKER, or REVOKE EXECUTE.

SELECT pg_proc.oid::regprocedure::text,
       format('runs with the rights of %I', pg_get_userbyid(proowner)),
       CASE WHEN pronamespace = to_regnamespace('app')
            THEN format('ALTER ROUTINE %s SECURITY INVOKER', pg_proc.oid::regprocedure)
            ELSE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC, %s CASCADE', pg_proc.oid::regprocedure, names) END
  FROM pg_catalog.pg_proc,
       (SELECT array_agg(pg_roles.oid) AS roles, string_agg(quote_ident(name), ', ' ORDER BY name) AS names
          FROM jsonb_each(current_setting('audit.access')::jsonb -> 'roles') AS spec (name, entry)
          JOIN pg_catalog.pg_roles ON rolname = name
         WHERE (entry -> 'login')::boolean) AS spec
 WHERE prosecdef
   AND (pronamespace = to_regnamespace('app')
        OR (pronamespace <> 'pg_catalog'::regnamespace OR pg_proc.oid >= 16384)
           AND EXISTS (SELECT FROM unnest(roles) AS role WHERE has_function_privilege(role, pg_proc.oid, 'EXECUTE')))
 ORDER BY 1
