"""What the catalogs say is in force: roles, schemas, tables, policies, grants and functions of this product."""

import asyncpg

# Rows of an object, one thing about it, and how that stands. Grants are taken apart, so that what Postgres implies
# equals the same when it is written down.
FACTS = {
    "policies": """
        SELECT format('policy %I on %s', polname, polrelid::regclass), thing, stands
          FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid,
               LATERAL (VALUES
                 ('kind', CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END),
                 ('command', CASE polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                                         WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END),
                 ('roles', (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', '
                                              ORDER BY role::regrole::text) FROM unnest(polroles) AS role)),
                 ('USING', pg_get_expr(polqual, polrelid)),
                 ('WITH CHECK', pg_get_expr(polwithcheck, polrelid))
               ) AS said (thing, stands)
         WHERE relnamespace = to_regnamespace('app')""",
    "tables": """
        SELECT oid::regclass::text, thing, stands
          FROM pg_class,
               LATERAL (VALUES
                 ('kind', relkind::text),
                 ('owner', relowner::regrole::text),
                 ('row-level security', CASE WHEN relrowsecurity THEN 'on' ELSE 'off' END),
                 ('FORCE ROW LEVEL SECURITY', CASE WHEN relforcerowsecurity THEN 'on' ELSE 'off' END)
               ) AS said (thing, stands)
         WHERE relnamespace = to_regnamespace('app')""",
    "table grants": """
        SELECT pg_class.oid::regclass::text,
               'for ' || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
               string_agg(privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', '
                          ORDER BY privilege_type, is_grantable)
          FROM pg_class,
               aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)))
         WHERE relnamespace = to_regnamespace('app')
         GROUP BY pg_class.oid, grantee""",
    "column grants": """
        SELECT attrelid::regclass::text,
               format('for %s %s', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type)
                 || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END,
               format('(%s)', string_agg(quote_ident(attname), ', ' ORDER BY attnum))
          FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid, aclexplode(attacl)
         WHERE relnamespace = to_regnamespace('app')
         GROUP BY attrelid, grantee, privilege_type, is_grantable""",
    "schemas": """
        SELECT format('schema %I', nspname), 'owner', nspowner::regrole::text
          FROM pg_namespace WHERE nspname IN ('app', 'alembic')""",
    "schema grants": """
        SELECT format('schema %I', nspname),
               'for ' || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
               string_agg(privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', '
                          ORDER BY privilege_type, is_grantable)
          FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
         WHERE nspname IN ('app', 'alembic')
         GROUP BY nspname, grantee""",
    "functions": """
        SELECT 'function ' || oid::regprocedure, thing, stands
          FROM pg_proc,
               LATERAL (VALUES
                 ('owner', proowner::regrole::text),
                 ('definition', pg_get_functiondef(oid))
               ) AS said (thing, stands)
         WHERE pronamespace = to_regnamespace('app') AND prokind IN ('f', 'p')""",
    "function grants": """
        SELECT 'function ' || oid::regprocedure,
               'for ' || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
               string_agg(privilege_type || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', '
                          ORDER BY privilege_type, is_grantable)
          FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
         WHERE pronamespace = to_regnamespace('app')
         GROUP BY oid, grantee""",
    "default privileges": """
        SELECT 'default privileges of ' || defaclrole::regrole,
               format('on %s in %s',
                      CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                                         WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE defaclobjtype::text END,
                      CASE defaclnamespace WHEN 0 THEN 'every schema' ELSE defaclnamespace::regnamespace::text END),
               (SELECT string_agg(format('%s to %s', privilege_type,
                                         CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END), ', '
                                  ORDER BY grantee::regrole::text, privilege_type)
                  FROM aclexplode(defaclacl))
          FROM pg_default_acl""",
    "roles": """
        SELECT format('role %I', rolname), thing, stands
          FROM pg_roles,
               LATERAL (VALUES
                 ('LOGIN', rolcanlogin::text),
                 ('INHERIT', rolinherit::text),
                 ('SUPERUSER', rolsuper::text),
                 ('BYPASSRLS', rolbypassrls::text),
                 ('CREATEROLE', rolcreaterole::text),
                 ('CREATEDB', rolcreatedb::text),
                 ('REPLICATION', rolreplication::text),
                 ('settings', array_to_string(rolconfig, ', '))
               ) AS said (thing, stands)
         WHERE rolname IN ('todo_owner', 'todo_api')""",
    "memberships": """
        SELECT format('role %I', member.rolname), format('membership in %I', granted.rolname),
               CASE WHEN admin_option THEN 'WITH ADMIN OPTION' ELSE 'without ADMIN OPTION' END
          FROM pg_auth_members
          JOIN pg_roles AS granted ON granted.oid = roleid
          JOIN pg_roles AS member ON member.oid = pg_auth_members.member
               -- whoever migrates may act as the owner, and so may whoever looks as drift does
         WHERE ('todo_owner' IN (granted.rolname, member.rolname) OR 'todo_api' IN (granted.rolname, member.rolname))
           AND member.rolname <> session_user""",
}

# In one message, not in eleven: who looks may hold the locks of a migration meanwhile, and be far away.
_ALL = " UNION ALL ".join(FACTS.values())

# How each thing about each object stands.
Catalog = dict[tuple[str, str], str | None]


async def read_catalog(connection: asyncpg.Connection) -> Catalog:
    """Read all of it. Names are printed with their schema where the search path of the session leaves it out."""
    return {(of, thing): stands for of, thing, stands in await connection.fetch(_ALL)}
