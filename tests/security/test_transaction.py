"""One request, one transaction, one caller; and nothing of it is left for the next."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.connection import OneCallerConnection
from service.database.engine import create_engine
from service.database.transaction import CallersTransaction, Transaction
from service.http.problems import Problem
from service.identity.caller import Caller
from service.settings import Settings
from service.tasks import statements
from tests.conftest import Client, Database, MakeApp, Token, http_client, new_user
from tests.wire import Wire

ASK = text("SELECT current_setting('app.user_id', true) AS guc, app.current_user_id() AS caller")


@pytest_asyncio.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """A pool of one connection, so that the next transaction reuses the last one's."""
    engine = create_engine(settings.database_url, pool_size=1)
    yield engine
    await engine.dispose()


async def pooled_connection(engine: AsyncEngine) -> OneCallerConnection:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, OneCallerConnection)
        return driver


async def test_a_transaction_is_its_callers(engine: AsyncEngine) -> None:
    for name in ("alice", "bob"):
        async with Transaction(engine, Caller(name), read_only=True) as transaction:
            assert await transaction.one_or_none(ASK, {}) == (name, name)


@pytest.mark.parametrize("ending", ["commit", "rollback", "cancel", "error"])
async def test_the_reused_connection_has_forgotten_the_user(engine: AsyncEngine, ending: str) -> None:
    async def serve() -> None:
        async with Transaction(engine, Caller("alice"), read_only=False) as transaction:
            await transaction.one_or_none(ASK, {})
            if ending == "rollback":
                raise LookupError
            if ending == "cancel":
                await transaction.all(text("SELECT pg_sleep(5)"), {})
            if ending == "error":
                await transaction.all(text("SELECT 1 / 0"), {})

    task = asyncio.create_task(serve())
    await asyncio.sleep(0.1)
    if ending == "cancel":
        task.cancel()
    await asyncio.wait([task])
    driver = await pooled_connection(engine)
    assert not driver.is_in_transaction()
    assert await driver.fetchval("SELECT current_setting('app.user_id', true)") in (None, "")
    assert await driver.fetchval("SELECT app.current_user_id()") is None
    assert await driver.fetchval("SELECT count(*) FROM app.tasks") == 0


async def test_no_second_transaction_begins_without_saying_for_whom(engine: AsyncEngine) -> None:
    async with Transaction(engine, Caller("alice"), read_only=True) as transaction:
        await transaction.one_or_none(ASK, {})
    async with engine.connect() as connection:
        with pytest.raises(LookupError, match="no transaction without a caller"):
            await connection.execute(ASK)


async def test_a_caller_is_for_one_transaction_of_a_connection_and_then_forgotten(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.next_transaction_is_for(Caller("alice"), read_only=True)
        assert (await connection.execute(ASK)).all() == [("alice", "alice")]
        await connection.commit()
        with pytest.raises(LookupError, match="no transaction without a caller"):
            await connection.execute(ASK)


async def test_a_connection_of_which_it_is_unknown_for_whom_it_began_is_closed(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.next_transaction_is_for(Caller("alice"), read_only=True)
        beginning = asyncio.create_task(driver.transaction().start())
        await asyncio.sleep(0)
        beginning.cancel()
        await asyncio.wait([beginning])
        assert beginning.cancelled()
        assert driver.is_closed()
    assert not (await pooled_connection(engine)).is_closed()


async def test_a_statement_that_never_began_leaves_no_caller_behind(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:  # so that the connection is there
        await connection.rollback()
    with pytest.raises(StatementError):
        async with Transaction(engine, Caller("alice"), read_only=False) as transaction:
            await transaction.one_or_none(statements.GET, {})  # a bind parameter is missing
    async with engine.connect() as connection:
        with pytest.raises(LookupError, match="no transaction without a caller"):
            await connection.execute(ASK)


async def test_a_public_path_gets_no_transaction(settings: Settings, make_app: MakeApp) -> None:
    app = make_app(settings)
    router = APIRouter()

    @router.get("/livez/rows")
    async def rows(transaction: CallersTransaction) -> int:
        return len(await transaction.all(text("SELECT 1"), {}))

    app.include_router(router)
    public: Any = app.user_middleware[4].kwargs["backend"]
    public._public = public._public | {"/livez/rows"}
    async with http_client(app) as nobody:
        assert (await nobody.get("/livez/rows")).status_code == 500


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reads_cannot_write(settings: Settings, make_app: MakeApp, token_for: Token, method: str) -> None:
    app = make_app(settings)

    @app.get("/write")
    async def write(transaction: CallersTransaction) -> None:
        await transaction.all(text("INSERT INTO app.tasks (title) VALUES ('x') RETURNING id"), {})

    user = new_user()
    async with http_client(app, token_for(user)) as client:
        assert (await client.request(method, "/write")).status_code == 500
        assert (await client.get("/tasks")).json() == []


async def test_what_a_failed_request_wrote_is_rolled_back(
    settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    app = make_app(settings)

    @app.post("/half")
    async def half(transaction: CallersTransaction) -> None:
        await transaction.all(text("INSERT INTO app.tasks (title) VALUES ('x') RETURNING id"), {})
        raise RuntimeError

    async with http_client(app, token_for(new_user())) as client:
        assert (await client.post("/half")).status_code == 500
        assert (await client.get("/tasks")).json() == []


@pytest_asyncio.fixture
async def refuses_commits(make_database: Callable[[], Database], settings: Settings, make_app: MakeApp) -> FastAPI:
    """An application on a database whose COMMIT fails once a task is titled so."""
    database = await asyncio.to_thread(make_database)
    admin = await database.as_superuser()
    await admin.execute(
        """
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON app.tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.title = 'fails at commit') EXECUTE FUNCTION public.refuse();
        """
    )
    await admin.close()
    return make_app(settings.model_copy(update={"database_url": type(settings.database_url)(database.api_url)}))


async def test_a_failed_commit_is_never_answered_201(refuses_commits: FastAPI, token_for: Token) -> None:
    async with http_client(refuses_commits, token_for(new_user())) as client:
        assert (await client.post("/tasks", json={"title": "commits"})).status_code == 201
        response = await client.post("/tasks", json={"title": "fails at commit"})
        assert (response.status_code, response.json()["code"]) == (503, "database_busy")
        assert [task["title"] for task in (await client.get("/tasks")).json()] == ["commits"]


async def test_a_commit_whose_answer_is_lost_is_not_said_to_have_changed_nothing(
    settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    async with Wire(settings.database_url.get_secret_value()) as wire:
        url = type(settings.database_url)(wire.url)
        app = make_app(settings.model_copy(update={"database_url": url}))
        async with http_client(app, token_for(new_user())) as client:
            assert (await client.get("/tasks")).json() == []
            wire.cut_after = "COMMIT"
            written = await client.post("/tasks", json={"title": "x"})
            read = await client.get("/tasks")
            wire.cut_after = None
            assert (written.status_code, written.json()["code"]) == (503, "outcome_unknown")
            assert (read.status_code, read.json()["code"]) == (503, "database_unavailable")
            assert len((await client.get("/tasks")).json()) == 1


async def test_a_commit_that_rolled_back_is_an_error(engine: AsyncEngine) -> None:
    """COMMIT after an error that a handler swallowed: Postgres answers ROLLBACK, and calls that a success."""
    transaction = Transaction(engine, Caller("alice"), read_only=False)
    with pytest.raises(Problem):
        await transaction.all(text("SELECT 1 / 0"), {})
    with pytest.raises(DBAPIError, match="rolled back"):
        await transaction.__aexit__(None)


async def test_requests_of_many_users_at_once_never_meet(client: Client) -> None:
    """More requests than connections, and each user sees what is theirs."""
    users = [client(new_user()) for _ in range(20)]

    async def work(user: httpx.AsyncClient, number: int) -> None:
        for _ in range(5):
            title = f"of {number}"
            task = (await user.post("/tasks", json={"title": title})).json()
            await user.patch(f"/tasks/{task['id']}", json={"status": "Done"})
        tasks = (await user.get("/tasks")).json()
        assert {(task["title"], task["status"]) for task in tasks} == {(title, "Done")}
        assert len(tasks) == 5

    await asyncio.gather(*(work(user, number) for number, user in enumerate(users)))


async def test_a_request_of_one_statement_makes_three_round_trips(
    settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    async with Wire(settings.database_url.get_secret_value()) as wire:
        one = settings.model_copy(
            update={"database_url": type(settings.database_url)(wire.url), "database_pool_size": 1}
        )
        app = make_app(one)
        async with http_client(app, token_for("alice-on-the-wire")) as client:
            task = (await client.post("/tasks", json={"title": "x"})).json()
            path = f"/tasks/{task['id']}"
            operations: list[tuple[str, str, dict[str, Any]]] = [
                ("GET", "/tasks", {}),
                ("GET", path, {}),
                ("HEAD", path, {}),
                ("POST", "/tasks", {"json": {"title": "y"}}),
                ("PUT", path, {"json": {"title": "z"}}),
                ("PATCH", path, {"json": {"status": "Done"}}),
                ("PATCH", path, {"json": {}}),
                ("DELETE", path, {}),
            ]
            for method, where, more in operations[:-1]:
                await client.request(method, where, **more)  # prepares the statement on this connection
            await client.delete(f"/tasks/{task['id'][:-4]}0000")
            for method, where, more in operations:
                wire.trips.clear()
                response = await client.request(method, where, **more)
                assert response.is_success
                mode = "ONLY" if method in ("GET", "HEAD") else "WRITE"
                assert wire.trips[0] == f"BEGIN READ {mode}; SET LOCAL app.user_id = 'alice-on-the-wire'"
                assert wire.trips[1:] == ["(prepared)", "COMMIT"]
