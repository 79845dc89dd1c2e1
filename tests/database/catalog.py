"""What the catalogs say of the product's schema and roles, in a form that two databases can be compared by."""

import asyncpg

QUERIES = {
    "columns": """
        SELECT attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
               pg_get_expr(adbin, adrelid), attcollation::regcollation
          FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
          JOIN pg_class ON pg_class.oid = attrelid
         WHERE relnamespace = 'app'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped""",
    "column grants": "SELECT attrelid::regclass, attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL",
    "constraints": """
        SELECT conrelid::regclass, conname, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'app'::regnamespace""",
    "collations": """
        SELECT collname, collprovider, collcollate, collowner::regrole
          FROM pg_collation WHERE collnamespace = 'app'::regnamespace""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'app'",
    "relations": """
        SELECT relname, relkind, relowner::regrole, relacl, relrowsecurity, relforcerowsecurity
          FROM pg_class WHERE relnamespace = 'app'::regnamespace""",
    "policies": "SELECT * FROM pg_policies WHERE schemaname = 'app'",
    "functions": """
        SELECT proname, pg_get_functiondef(oid), proowner::regrole, proacl
          FROM pg_proc WHERE pronamespace = 'app'::regnamespace""",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "schemas": "SELECT nspname, nspowner::regrole, nspacl FROM pg_namespace WHERE nspname IN ('app', 'alembic')",
    "default privileges": """
        SELECT defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl FROM pg_default_acl""",
    "roles": """
        SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
               rolconfig
          FROM pg_roles WHERE rolname LIKE 'todo\\_%'""",
    "memberships": """
        SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members
         WHERE ('todo_api'::regrole IN (roleid, member) OR 'todo_owner'::regrole IN (roleid, member))
           -- those that tests/security/test_guard.py grants meanwhile, in another process
           AND member::regrole::text NOT LIKE 'role\\_%'""",
}


async def catalog(url: str) -> dict[str, list[str]]:
    connection = await asyncpg.connect(url)
    try:
        return {
            name: sorted(str([str(value) for value in row]) for row in await connection.fetch(query))
            for name, query in QUERIES.items()
        }
    finally:
        await connection.close()
