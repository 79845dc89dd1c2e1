"""What the catalogs say of every table in `app`, so that a table added tomorrow is held to it too."""

import asyncpg
import pytest_asyncio

from service.database.guard import _WALL
from tests.conftest import Database

TABLES = "relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p')"


@pytest_asyncio.fixture
async def admin(database: Database) -> asyncpg.Connection:
    connection = await database.as_superuser()
    yield connection
    await connection.close()


async def test_there_is_something_to_look_at(admin: asyncpg.Connection) -> None:
    tables = await admin.fetch(f"SELECT relname FROM pg_class WHERE {TABLES} ORDER BY relname")
    assert [row[0] for row in tables] == ["idempotency_keys", "tasks"]


async def test_every_table_enables_and_forces_row_level_security(admin: asyncpg.Connection) -> None:
    open_ones = f"SELECT relname FROM pg_class WHERE {TABLES} AND NOT (relrowsecurity AND relforcerowsecurity)"
    assert await admin.fetch(open_ones) == []


async def test_every_table_has_its_wall_and_its_door_and_no_other_policy(admin: asyncpg.Connection) -> None:
    policies = await admin.fetch(
        f"""
        SELECT relname, polname, polpermissive, polcmd, polroles::regrole[]::text AS roles,
               pg_get_expr(polqual, polrelid) AS reads, pg_get_expr(polwithcheck, polrelid) AS writes
          FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid
         WHERE {TABLES} ORDER BY relname, polname
        """
    )
    tables = [row[0] for row in await admin.fetch(f"SELECT relname FROM pg_class WHERE {TABLES} ORDER BY relname")]
    expected = []
    for table in tables:
        # What may be written is said as plainly as what may be read, rather than left to a default.
        expected.append((table, "door", True, b"*", "{todo_api}", _WALL, _WALL))
        expected.append((table, "wall", False, b"*", "{-}", _WALL, _WALL))
    assert [tuple(policy) for policy in policies] == expected


async def test_todo_api_has_these_privileges_and_no_more(admin: asyncpg.Connection) -> None:
    privileges = await admin.fetch(
        """
        SELECT table_name || '.' || column_name, privilege_type
          FROM information_schema.column_privileges
         WHERE grantee IN ('todo_api', 'PUBLIC') AND table_schema IN ('app', 'alembic')
        UNION ALL
        SELECT table_name, privilege_type
          FROM information_schema.table_privileges
         WHERE grantee IN ('todo_api', 'PUBLIC') AND table_schema IN ('app', 'alembic')
        """
    )
    columns = ("owner_id", "id", "title", "description", "status", "created_at", "updated_at")
    expected = {(f"tasks.{column}", "SELECT") for column in columns}
    for column in ("title", "description", "status"):
        expected |= {(f"tasks.{column}", "INSERT"), (f"tasks.{column}", "UPDATE")}
    expected |= {("tasks", "DELETE"), ("idempotency_keys", "DELETE")}
    for privilege, granted in {
        "SELECT": ("owner_id", "key", "payload_sha256", "task_id", "created_at"),
        "INSERT": ("key", "payload_sha256"),
        "UPDATE": ("payload_sha256", "task_id", "created_at"),
    }.items():
        expected |= {(f"idempotency_keys.{column}", privilege) for column in granted}
    assert {tuple(privilege) for privilege in privileges} == expected


async def test_todo_api_may_call_two_functions(admin: asyncpg.Connection) -> None:
    callable_ones = await admin.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'app'::regnamespace "
        "AND has_function_privilege('todo_api', oid, 'EXECUTE') ORDER BY proname"
    )
    assert [row[0] for row in callable_ones] == ["current_user_id", "uuidv7"]


async def test_the_schemas_and_functions_are_for_todo_api_alone_and_nothing_can_be_handed_on(
    admin: asyncpg.Connection,
) -> None:
    granted = await admin.fetch(
        """
        WITH acls (acl, owner) AS (
          SELECT coalesce(nspacl, acldefault('n', nspowner)), nspowner FROM pg_namespace
           WHERE nspname IN ('app', 'alembic')
          UNION ALL
          SELECT coalesce(proacl, acldefault('f', proowner)), proowner FROM pg_proc
           WHERE pronamespace = 'app'::regnamespace
          UNION ALL
          SELECT relacl, relowner FROM pg_class WHERE relnamespace = 'app'::regnamespace
          UNION ALL
          SELECT attacl, relowner FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
           WHERE relnamespace = 'app'::regnamespace
        )
        SELECT DISTINCT grantee::regrole::text, is_grantable FROM acls, aclexplode(acl) WHERE grantee <> owner
        """
    )
    assert [tuple(grant) for grant in granted] == [("todo_api", False)]


async def test_of_whole_tables_todo_api_may_delete_rows_and_nothing_more(admin: asyncpg.Connection) -> None:
    granted = await admin.fetch(
        """
        SELECT relname, privilege_type FROM pg_class, aclexplode(relacl)
         WHERE relnamespace = 'app'::regnamespace AND grantee <> relowner ORDER BY relname
        """
    )
    assert [tuple(grant) for grant in granted] == [("idempotency_keys", "DELETE"), ("tasks", "DELETE")]


async def test_nothing_carries_rows_elsewhere_or_is_open_before_its_grants_are_written(
    admin: asyncpg.Connection,
) -> None:
    found = await admin.fetch(
        """
        SELECT 'publication', pubname::text FROM pg_publication_tables WHERE schemaname = 'app'
        UNION ALL
        SELECT 'rule', rulename::text FROM pg_rules WHERE schemaname = 'app'
        UNION ALL
        SELECT 'default privilege', privilege_type FROM pg_default_acl, aclexplode(defaclacl)
         WHERE grantee <> defaclrole
        UNION ALL
        SELECT 'setting of the database', setting FROM pg_db_role_setting, unnest(setconfig) AS setting
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        """
    )
    assert found == []


async def test_todo_api_may_use_one_schema_and_create_nothing_in_any(admin: asyncpg.Connection) -> None:
    rights = await admin.fetch(
        """
        SELECT nspname, privilege FROM pg_namespace, unnest(ARRAY['USAGE', 'CREATE']) AS privilege
         WHERE has_schema_privilege('todo_api', oid, privilege)
           AND nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('public', 'information_schema')
        """
    )
    assert [tuple(right) for right in rights] == [("app", "USAGE")]


async def test_no_function_runs_with_its_owners_rights(admin: asyncpg.Connection) -> None:
    functions = await admin.fetch(
        "SELECT proname, prosecdef, proconfig FROM pg_proc WHERE pronamespace = 'app'::regnamespace"
    )
    assert functions
    assert all((not row["prosecdef"], row["proconfig"]) == (True, ['search_path=""']) for row in functions)


async def test_the_roles_are_what_they_may_be(admin: asyncpg.Connection) -> None:
    roles = await admin.fetch(
        "SELECT rolname, rolcanlogin, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication "
        "FROM pg_roles WHERE rolname IN ('todo_api', 'todo_owner') ORDER BY rolname"
    )
    assert [tuple(role) for role in roles] == [("todo_api", True, False), ("todo_owner", False, False)]
    assert await admin.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = 'todo_api'::regrole") == 0


async def test_the_owner_owns_everything(admin: asyncpg.Connection) -> None:
    owners = await admin.fetch(
        """
        SELECT relowner::regrole::text FROM pg_class
         WHERE relnamespace IN ('app'::regnamespace, 'alembic'::regnamespace)
        UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'app'::regnamespace
        UNION SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname IN ('app', 'alembic')
        """
    )
    assert [row[0] for row in owners] == ["todo_owner"]
