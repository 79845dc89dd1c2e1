-- What: a policy in schema app that is neither the wall nor the door of a table of db/access.toml.
-- Why: permissive policies are joined by OR, so that each further one widens what a role reaches.
-- Mend: DROP POLICY; what is needed belongs in db/policies/.

SELECT polrelid::regclass::text,
       format('has a %s policy %I for %s', CASE WHEN polpermissive THEN 'permissive' ELSE 'restrictive' END, polname,
              (SELECT string_agg(CASE oid WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(oid)::text END, ', ')
                 FROM unnest(polroles) AS roles (oid))),
       format('DROP POLICY IF EXISTS %I ON %s', polname, polrelid::regclass)
  FROM pg_catalog.pg_policy JOIN pg_catalog.pg_class ON pg_class.oid = polrelid
 WHERE relnamespace = to_regnamespace('app')
   AND NOT (polname = 'wall' AND current_setting('audit.access')::jsonb -> 'tables' ? relname::text)
   AND NOT (polname = 'door'
            AND EXISTS (SELECT FROM jsonb_each(current_setting('audit.access')::jsonb #> ARRAY['tables', relname, 'access'])
                                      AS access (role, grants)
                         WHERE grants ->> 'rows' = 'own'))
 ORDER BY 1, 2
