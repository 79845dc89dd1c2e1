"""The service does not start, and is not ready, when something would let row-level security be bypassed."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from pydantic import SecretStr

from service.database.engine import create_engine
from service.database.guard import GuardError, find_faults, require_no_faults
from service.dev.issuer import ISSUER, Issuer
from service.settings import Settings
from tests.conftest import Client, Database, Main, MakeApp, http_client, in_database, run_sql

Serve = Callable[[str], Awaitable[tuple[int, str]]]


@pytest.fixture
def serve(main_with: Main, issuer: Issuer) -> Serve:
    """`todo-api serve` on a URL, which is expected to give up at once: its exit code, and what it said."""

    async def run(url: str) -> tuple[int, str]:
        environment = {
            "DATABASE_URL": url,
            "AUTH_ISSUER": ISSUER,
            "AUTH_AUDIENCE": ISSUER,
            "CURSOR_KEY": "0123456789abcdef" * 2,
            "AUTH_JWKS_FILE": str(issuer.jwks_file),
        }
        return await asyncio.to_thread(main_with, environment, "serve", "--port", "1")

    return run


async def faults(url: str) -> list[str]:
    engine = create_engine(SecretStr(url), pool_size=1)
    try:
        return [fault.what for fault in await find_faults(engine)]
    finally:
        await engine.dispose()


async def test_a_sound_database_has_no_faults(database: Database) -> None:
    assert await faults(database.api_url) == []


@pytest_asyncio.fixture
async def role(database: Database, roles_to_itself: None) -> AsyncIterator[tuple[str, str]]:
    """A role that is no danger yet, and its URL. It is of the whole cluster, where an audit would find it."""
    name, password = f"role_{secrets.token_hex(4)}", secrets.token_hex(16)
    create = f"CREATE ROLE {name} LOGIN PASSWORD '{password}'"
    await run_sql(database.superuser_url, create, f"ALTER ROLE {name} SET search_path = ''")
    yield name, in_database(database.api_url, database.name, username=name, password=password)
    await run_sql(database.superuser_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


DANGERS = {
    "search_path": ("ALTER ROLE {role} RESET search_path", "finds operators by a search_path, where others may make"),
    "superuser": ("ALTER ROLE {role} SUPERUSER", "is a superuser"),
    "bypassrls": ("ALTER ROLE {role} BYPASSRLS", "bypasses RLS"),
    "createrole": ("ALTER ROLE {role} CREATEROLE", "may create roles, and so become another"),
    "replication": ("ALTER ROLE {role} REPLICATION", "may replicate, which shows every row"),
    "owner of the table": ("ALTER TABLE app.tasks OWNER TO {role}", "owns relation app.tasks"),
    "member of the owner": ("GRANT todo_owner TO {role}", "can become todo_owner, the owner of"),
    "reader of all": ("GRANT pg_read_all_data TO {role}", "is a member of pg_read_all_data"),
    "runner of programs": ("GRANT pg_execute_server_program TO {role}", "is a member of pg_execute_server_program"),
    "writer of all": ("GRANT pg_write_all_data TO {role}", "is a member of pg_write_all_data"),
}
UNDO = {"owner of the table": "ALTER TABLE app.tasks OWNER TO todo_owner"}


@pytest.fixture(scope="module")
def own_database(make_database: Callable[[], Database]) -> Database:
    """One whose tables these tests may spoil."""
    return make_database()


@asynccontextmanager
async def spoilt(database: Database, role: str, danger: str) -> AsyncIterator[str]:
    """Make the role dangerous, and give what is to be said of it."""
    spoil, expected = DANGERS[danger]
    await run_sql(database.superuser_url, spoil.format(role=role))
    yield f"role {role} {expected}"
    if danger in UNDO:
        await run_sql(database.superuser_url, UNDO[danger])


@pytest.mark.parametrize("danger", DANGERS)
async def test_a_dangerous_role_is_found(own_database: Database, role: tuple[str, str], danger: str) -> None:
    name, url = role
    async with spoilt(own_database, name, danger) as expected:
        found = await faults(in_database(url, own_database.name))
    assert any(fault.startswith(expected) for fault in found), found


@pytest.mark.parametrize("danger", ["superuser", "bypassrls", "owner of the table", "member of the owner"])
async def test_serve_exits_3_and_says_why(
    own_database: Database, role: tuple[str, str], serve: Serve, danger: str
) -> None:
    name, url = role
    async with spoilt(own_database, name, danger) as expected:
        code, said = await serve(in_database(url, own_database.name))
    assert code == 3, said
    lines = said.splitlines()
    assert any(line.startswith(f"todo-api: {expected}") for line in lines), lines
    # This role may be right as it is, and only be wrong here.
    assert all(line.endswith("Mend: serve as todo_api: put its URL into DATABASE_URL") for line in lines)


async def test_serve_exits_3_when_the_database_is_away(serve: Serve) -> None:
    code, said = await serve("postgresql://todo_api:hunter2@127.0.0.1:1/todo")
    assert code == 3
    assert "the database cannot be looked at" in said
    assert "hunter2" not in said
    assert len(said.splitlines()) == 1


async def test_serve_says_what_the_database_said(server: dict[str, str], database: Database, serve: Serve) -> None:
    code, said = await serve(in_database(database.api_url, "nowhere"))
    assert code == 3
    assert 'database "nowhere" does not exist' in said
    assert server["password"] not in said


async def test_a_role_that_can_become_a_dangerous_one_is_refused(database: Database, role: tuple[str, str]) -> None:
    name, url = role
    dangerous = f"dangerous_{secrets.token_hex(4)}"
    await run_sql(database.superuser_url, f"CREATE ROLE {dangerous} BYPASSRLS", f"GRANT {dangerous} TO {name}")
    try:
        assert await faults(url) == [f"role {name} is a member of {dangerous}"]
    finally:
        await run_sql(database.superuser_url, f"DROP ROLE {dangerous}")


async def test_a_superuser_that_took_a_lesser_role_is_found(database: Database, role: tuple[str, str]) -> None:
    name, url = role
    await run_sql(database.superuser_url, f"ALTER ROLE {name} SUPERUSER", f"ALTER ROLE {name} SET role TO todo_api")
    assert f"role {name} is a superuser" in await faults(url)


async def test_a_role_that_stands_in_for_todo_api_is_let_through(database: Database, role: tuple[str, str]) -> None:
    """As when passwords are rotated by way of a second role."""
    name, url = role
    await run_sql(database.superuser_url, f"GRANT todo_api TO {name}")
    assert await faults(url) == []


@pytest.mark.usefixtures("roles_to_itself")
async def test_a_member_of_neon_superuser_is_refused(database: Database, role: tuple[str, str]) -> None:
    name, url = role
    await run_sql(database.superuser_url, "CREATE ROLE neon_superuser", f"GRANT neon_superuser TO {name}")
    try:
        assert await faults(url) == [f"role {name} is a member of neon_superuser"]
    finally:
        await run_sql(database.superuser_url, "DROP ROLE neon_superuser")


NO_WALL = "table app.tasks lacks its wall"
NO_IDENTITY = "function app.current_user_id() is not the one of db/policies/0010_identity.sql"
HOLES = {
    "RLS off": ("ALTER TABLE app.tasks DISABLE ROW LEVEL SECURITY", "table app.tasks has no row-level security"),
    "no FORCE": (
        "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY",
        "table app.tasks does not force row-level security",
    ),
    "no wall": ("DROP POLICY wall ON app.tasks", NO_WALL),
    "a wall that lets reads through": ("ALTER POLICY wall ON app.tasks USING (true)", NO_WALL),
    "a wall that lets writes through": (
        "ALTER POLICY wall ON app.tasks WITH CHECK (true)",
        "table app.tasks lacks its wall",
    ),
    "a wall that is permissive": (
        "DROP POLICY wall ON app.tasks; CREATE POLICY wall ON app.tasks FOR ALL TO PUBLIC"
        " USING (owner_id = (SELECT app.current_user_id())) WITH CHECK (owner_id = (SELECT app.current_user_id()))",
        NO_WALL,
    ),
    "a wall for reads": (
        "DROP POLICY wall ON app.tasks; CREATE POLICY wall ON app.tasks AS RESTRICTIVE FOR SELECT TO PUBLIC"
        " USING (owner_id = (SELECT app.current_user_id()))",
        NO_WALL,
    ),
    "a wall for some": ("ALTER POLICY wall ON app.tasks TO todo_api", NO_WALL),
    "everybody is alice": (
        "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE"
        " SET search_path = '' RETURN 'alice'",
        NO_IDENTITY,
    ),
    "who asks is asked as the owner": ("ALTER FUNCTION app.current_user_id() SECURITY DEFINER", NO_IDENTITY),
    "who asks is compared by another operator": (
        "CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);"
        "SET search_path = public, pg_catalog;"
        "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE"
        " SET search_path = '' RETURN nullif(current_setting('app.user_id', true), '')",
        NO_IDENTITY,
    ),
    "nobody is asked": ("DROP FUNCTION app.current_user_id() CASCADE", NO_IDENTITY),
    "an open table": ("CREATE TABLE app.notes (id int)", "table app.notes has no row-level security"),
    "no table": ("DROP TABLE app.tasks", "table app.tasks does not exist"),
    "no table of keys": ("DROP TABLE app.idempotency_keys", "table app.idempotency_keys does not exist"),
    "no FORCE on keys": (
        "ALTER TABLE app.idempotency_keys NO FORCE ROW LEVEL SECURITY",
        "table app.idempotency_keys does not force row-level security",
    ),
    "an older schema": ("DROP COLLATION app.unicode", "collation app.unicode does not exist"),
}


@pytest.mark.parametrize("hole", HOLES)
async def test_a_hole_in_the_schema_is_found(
    make_database: Callable[[], Database], settings: Settings, make_app: MakeApp, hole: str
) -> None:
    spoil, expected = HOLES[hole]
    holed = await asyncio.to_thread(make_database)
    await run_sql(holed.superuser_url, spoil)
    found = await faults(holed.api_url)
    assert expected in found
    app = make_app(settings.model_copy(update={"database_url": SecretStr(holed.api_url)}))
    async with http_client(app) as probe:
        response = await probe.get("/readyz")
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")
        assert "app.tasks" not in response.text
        assert (await probe.get("/livez")).status_code == 200
    with pytest.raises(GuardError, match=re.escape(expected)):
        await require_no_faults(app.state.engine)
    with pytest.raises(GuardError):
        async with app.router.lifespan_context(app):
            pass


async def test_a_sound_service_is_ready(client: Client) -> None:
    assert (await client(None).get("/readyz")).json() == {"status": "ok", "keys_age_seconds": None}


async def test_readiness_without_a_database_is_503(settings: Settings, make_app: MakeApp) -> None:
    nobody = SecretStr("postgresql://todo_api:x@127.0.0.1:1/todo")
    async with http_client(make_app(settings.model_copy(update={"database_url": nobody}))) as probe:
        response = await probe.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"]
