-- What: a role of db/access.toml, other than todo_owner, that owns something.
-- Why: an owner may do everything with what it owns, and grant it to anybody.
-- Mend: REASSIGN OWNED.

SELECT format('%I', rolname),
       format('owns %s', pg_describe_object(classid, objid, objsubid)),
       format('REASSIGN OWNED BY %I TO todo_owner', rolname)
  FROM pg_catalog.pg_shdepend JOIN pg_catalog.pg_roles ON refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = oid
 WHERE deptype = 'o' AND rolname <> 'todo_owner'
   AND dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
   AND rolname IN (SELECT jsonb_object_keys(current_setting('audit.access')::jsonb -> 'roles'))
 ORDER BY 1, 2
