"""What the runtime role can do in SQL, whatever the service would ask of it."""

import io
import re
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.conftest import Client, Database, new_user


@pytest_asyncio.fixture
async def api(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """todo_api, in a transaction that is rolled back, without a caller."""
    connection = await database.as_api()
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest_asyncio.fixture
async def two_users(client: Client) -> tuple[str, str]:
    """Alice and Bob, with a task each."""
    names = new_user(), new_user()
    for name in names:
        assert (await client(name).post("/tasks", json={"title": f"of {name}"})).status_code == 201
    return names


async def become(connection: asyncpg.Connection, user_id: str) -> None:
    await connection.execute(f"SET LOCAL app.user_id = '{user_id}'")


async def test_without_a_caller_there_are_no_rows(api: asyncpg.Connection, two_users: tuple[str, str]) -> None:
    assert await api.fetchval("SELECT app.current_user_id()") is None
    assert await api.fetchval("SELECT count(*) FROM app.tasks") == 0
    assert await api.execute("UPDATE app.tasks SET title = 'x'") == "UPDATE 0"
    assert await api.execute("DELETE FROM app.tasks") == "DELETE 0"


async def test_without_a_caller_nothing_can_be_written(api: asyncpg.Connection) -> None:
    with pytest.raises((asyncpg.NotNullViolationError, asyncpg.InsufficientPrivilegeError)):
        await api.execute("INSERT INTO app.tasks (title) VALUES ('x')")


async def test_a_caller_sees_and_changes_their_own_rows(api: asyncpg.Connection, two_users: tuple[str, str]) -> None:
    _, bob = two_users
    await become(api, bob)
    assert [row["owner_id"] for row in await api.fetch("SELECT owner_id FROM app.tasks")] == [bob]
    assert await api.execute("UPDATE app.tasks SET title = 'x'") == "UPDATE 1"
    assert await api.fetchval("INSERT INTO app.tasks (title) VALUES ('y') RETURNING owner_id") == bob
    assert await api.execute("DELETE FROM app.tasks") == "DELETE 2"


@pytest.mark.parametrize("caller", ["", " ", "%", "*", "null", "NULL", "true"])
async def test_an_odd_caller_is_nobody(api: asyncpg.Connection, two_users: tuple[str, str], caller: str) -> None:
    await become(api, caller)
    assert await api.fetchval("SELECT count(*) FROM app.tasks") == 0


async def test_an_empty_caller_is_null(api: asyncpg.Connection) -> None:
    await become(api, "")
    assert await api.fetchval("SELECT app.current_user_id()") is None


@pytest.mark.parametrize("known", [False, True], ids=["no caller", "a caller"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO app.tasks (owner_id, title) VALUES ('alice', 'x')",
        "INSERT INTO app.tasks (id, title) VALUES (gen_random_uuid(), 'x')",
        "INSERT INTO app.tasks (title, created_at) VALUES ('x', now())",
        "INSERT INTO app.tasks (title, updated_at) VALUES ('x', now())",
        "UPDATE app.tasks SET owner_id = 'alice'",
        "UPDATE app.tasks SET id = gen_random_uuid()",
        "UPDATE app.tasks SET created_at = now()",
        "UPDATE app.tasks SET updated_at = now()",
        "TRUNCATE app.tasks",
        "TRUNCATE app.tasks CASCADE",
        "CREATE TABLE app.child (owner_id text, id uuid, FOREIGN KEY (owner_id, id) REFERENCES app.tasks)",
        "CREATE TABLE public.child (owner_id text, id uuid, FOREIGN KEY (owner_id, id) REFERENCES app.tasks)",
        "CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TRIGGER t BEFORE INSERT ON app.tasks FOR EACH ROW EXECUTE FUNCTION app.advance_updated_at()",
        "CREATE INDEX ON app.tasks (title)",
        "ALTER TABLE app.tasks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY wall ON app.tasks",
        "CREATE POLICY hole ON app.tasks USING (true)",
        "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql AS 'SELECT ''alice'''",
        "SET ROLE todo_owner",
        "SET SESSION AUTHORIZATION todo_owner",
        "ALTER ROLE todo_api BYPASSRLS",
        "CREATE ROLE another",
        "SELECT * FROM alembic.alembic_version",
        "SELECT * FROM pg_authid",
        "COPY app.tasks TO PROGRAM 'cat'",
        "COPY app.tasks (owner_id, title) FROM STDIN",
    ],
)
async def test_whatever_is_not_granted_is_refused(
    api: asyncpg.Connection, two_users: tuple[str, str], statement: str, known: bool
) -> None:
    if known:
        await become(api, two_users[0])
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidAuthorizationSpecificationError)):
        await api.execute(statement)


async def test_what_it_may_do_it_cannot_hand_on(api: asyncpg.Connection) -> None:
    warned: list[str] = []
    api.add_log_listener(lambda _, message: warned.append(message.message))
    await api.execute("GRANT SELECT, DELETE ON app.tasks TO PUBLIC")
    assert warned
    assert not await api.fetchval("SELECT has_any_column_privilege('public', 'app.tasks', 'SELECT')")
    assert not await api.fetchval("SELECT has_table_privilege('public', 'app.tasks', 'SELECT, DELETE')")


async def test_a_table_with_a_reference_to_tasks_cannot_be_made(api: asyncpg.Connection) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidTableDefinitionError)):
        await api.execute("CREATE TEMP TABLE t (o text, i uuid, FOREIGN KEY (o, i) REFERENCES app.tasks)")


async def test_turning_row_security_off_gives_an_error_and_no_rows(
    api: asyncpg.Connection, two_users: tuple[str, str]
) -> None:
    await become(api, two_users[0])
    await api.execute("SET LOCAL row_security = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await api.fetch("SELECT * FROM app.tasks")


async def test_a_leaky_function_sees_no_row_behind_the_wall(
    api: asyncpg.Connection, two_users: tuple[str, str]
) -> None:
    """A function with a tiny cost would run first, were the policy no security barrier."""
    await become(api, two_users[1])
    await api.execute(
        "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
        "$$ BEGIN RAISE WARNING '%', $1; RETURN true; END $$"
    )
    heard: list[str] = []
    api.add_log_listener(lambda _, message: heard.append(message.message))
    await api.fetch("SELECT title FROM app.tasks WHERE pg_temp.leak(title)")
    assert heard == [f"of {two_users[1]}"]


async def test_the_wall_judges_writes_also_where_a_grant_does_not(
    database: Database, two_users: tuple[str, str]
) -> None:
    alice, bob = two_users
    admin = await database.as_superuser()
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("GRANT INSERT, UPDATE ON app.tasks TO todo_api")
    await admin.execute("SET LOCAL ROLE todo_api")
    await become(admin, bob)
    for statement in (
        f"INSERT INTO app.tasks (owner_id, title) VALUES ('{alice}', 'x')",
        f"UPDATE app.tasks SET owner_id = '{alice}'",
    ):
        savepoint = admin.transaction()
        await savepoint.start()
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await admin.execute(statement)
        await savepoint.rollback()
    await transaction.rollback()
    await admin.close()


async def test_the_owner_of_the_table_sees_no_rows_either(database: Database, two_users: tuple[str, str]) -> None:
    admin = await database.as_superuser()
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("SET LOCAL ROLE todo_owner")
    await become(admin, two_users[0])
    assert await admin.fetchval("SELECT count(*) FROM app.tasks") == 0
    assert await admin.execute("DELETE FROM app.tasks") == "DELETE 0"
    await transaction.rollback()
    await admin.close()


async def test_a_later_permissive_policy_widens_nothing(database: Database, two_users: tuple[str, str]) -> None:
    admin = await database.as_superuser()
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("CREATE POLICY mistake ON app.tasks AS PERMISSIVE TO todo_api USING (true)")
    await admin.execute("SET LOCAL ROLE todo_api")
    await become(admin, two_users[1])
    assert {row["owner_id"] for row in await admin.fetch("SELECT owner_id FROM app.tasks")} == {two_users[1]}
    await transaction.rollback()
    await admin.close()


async def test_errors_quote_nobodys_row(api: asyncpg.Connection, two_users: tuple[str, str]) -> None:
    await become(api, two_users[1])
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await api.execute("INSERT INTO app.tasks (title) VALUES ('')")
    assert two_users[0] not in str(refused.value)


async def test_the_caller_is_asked_for_once_and_the_key_finds_the_row(
    api: asyncpg.Connection, two_users: tuple[str, str]
) -> None:
    """The predicate is an InitPlan, evaluated once, and the primary key finds the row."""
    await become(api, two_users[1])
    await api.execute("SET LOCAL enable_seqscan = off")
    plan = "\n".join(
        row[0] for row in await api.fetch(f"EXPLAIN SELECT title FROM app.tasks WHERE id = '{uuid.uuid4()}'")
    )
    assert re.search(r"Index Cond: \(\(owner_id = (\(InitPlan 1\)\.col1|\$0)\) AND \(id = ", plan), plan
    assert plan.count("InitPlan 1\n") == 1 or plan.count("InitPlan 1 (") == 1, plan


async def test_a_plan_that_was_made_for_one_caller_serves_the_next_their_own_rows(
    api: asyncpg.Connection, two_users: tuple[str, str]
) -> None:
    """As on a pooled connection, whose statements stay prepared."""
    await api.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    statement = await api.prepare("SELECT owner_id FROM app.tasks WHERE title LIKE $1")
    for user in (*two_users, "", *two_users):
        await become(api, user)
        assert [row["owner_id"] for row in await statement.fetch("of %")] == ([user] if user else [])


async def test_copy_gives_the_callers_rows_alone_and_takes_none(
    api: asyncpg.Connection, two_users: tuple[str, str]
) -> None:
    await become(api, two_users[1])
    copied = io.BytesIO()
    await api.copy_from_table("tasks", schema_name="app", columns=["owner_id"], output=copied)
    assert copied.getvalue().decode().split() == [two_users[1]]
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
        await api.copy_records_to_table("tasks", schema_name="app", columns=["title"], records=[("x",)])


@pytest.mark.usefixtures("two_users")
async def test_what_postgres_knows_of_the_values_in_a_column_is_not_shown(
    api: asyncpg.Connection, database: Database
) -> None:
    values = "SELECT count(*) FROM pg_stats WHERE schemaname = 'app'"
    admin = await database.as_superuser()
    await admin.execute("ANALYZE app.tasks")
    assert await admin.fetchval(values) > 0
    await admin.close()
    assert await api.fetchval(values) == 0


async def test_whoever_speaks_sql_as_it_can_be_anybody_and_lift_its_limits(
    api: asyncpg.Connection, two_users: tuple[str, str]
) -> None:
    """Which docs/threat-model.md says under what is not defended: policies know of nobody but app.user_id."""
    for user in two_users:
        await become(api, user)
        assert await api.fetchval("SELECT owner_id FROM app.tasks") == user
    await api.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
    await api.execute("LOCK TABLE app.tasks IN ACCESS EXCLUSIVE MODE")


async def test_statements_locks_and_idle_transactions_end_by_themselves(api: asyncpg.Connection) -> None:
    for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert await api.fetchval("SELECT current_setting($1)", setting) not in ("0", "")
