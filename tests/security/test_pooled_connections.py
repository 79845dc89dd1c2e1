"""One connection, many users: whatever ends a request, the next one on that connection sees their own alone.

test_transaction.py has the transaction by itself; here a whole request breaks, at every point where one can.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from starlette.requests import ClientDisconnect
from starlette.types import Message

from service.database import engine
from service.database.connection import OneCallerConnection, _Transaction
from service.database.transaction import CallersTransaction
from service.dev.issuer import Issuer
from service.settings import Settings
from service.tasks import routes
from tests.conftest import MakeApp, Token, http_client, new_user
from tests.servers import todo_api_server
from tests.wire import Wire

WHOSE = text("SELECT app.current_user_id() AS caller, count(*) AS tasks FROM app.tasks")


@dataclass
class OnOneConnection:
    """An application whose pool is one connection, and two users of it: each has a task."""

    app: FastAPI
    token_for: Token
    alice: str
    bob: str

    def user(self, name: str) -> httpx.AsyncClient:
        return http_client(self.app, self.token_for(name))

    async def backend(self) -> int | None:
        """The process of Postgres that the pooled connection talks to. A new connection has a new one."""
        async with self.app.state.engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            backend: int = driver.get_server_pid()
            return backend

    async def nothing_is_left(self) -> None:
        """The next user on the connection sees their own alone; and of nobody, there is nothing."""
        async with self.app.state.engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            assert isinstance(driver, OneCallerConnection)
            assert not driver.is_in_transaction()
            assert await driver.fetchval("SELECT current_setting('app.user_id', true)") in (None, "")
            assert await driver.fetchval("SELECT count(*) FROM app.tasks") == 0
        async with self.user(self.bob) as bob, self.user(self.alice) as alice:
            for somebody, name in ((bob, self.bob), (alice, self.alice), (bob, self.bob)):
                assert (await somebody.get("/whose")).json() == [name, 1]
                assert [task["owner_id"] for task in (await somebody.get("/tasks")).json()] == [name]


@pytest_asyncio.fixture
async def one(settings: Settings, make_app: MakeApp, token_for: Token) -> OnOneConnection:
    return await _on_one(settings.database_url, settings, make_app, token_for)


async def _on_one(url: SecretStr, settings: Settings, make_app: MakeApp, token_for: Token) -> OnOneConnection:
    app = make_app(settings.model_copy(update={"database_url": url, "database_pool_size": 1}))
    _add_routes(app)
    one = OnOneConnection(app, token_for, new_user(), new_user())
    for name in (one.alice, one.bob):
        async with one.user(name) as somebody:
            assert (await somebody.post("/tasks", json={"title": name})).status_code == 201
    return one


HALF = text("INSERT INTO app.tasks (title) VALUES ('half') RETURNING id")


def _add_routes(app: FastAPI) -> None:
    """Handlers that write, and then fail in ways that those of the product should not know."""

    @app.get("/whose")
    async def whose(transaction: CallersTransaction) -> tuple[str, int]:
        row = (await transaction.all(WHOSE, {}))[0]
        return row.caller, row.tasks

    @app.post("/slow")
    async def slow(transaction: CallersTransaction) -> None:
        await transaction.all(HALF, {})
        await transaction.all(text("SELECT pg_sleep(8)"), {})

    @app.post("/timeout")
    async def timeout(transaction: CallersTransaction) -> None:
        await transaction.all(HALF, {})
        await transaction.all(text("SELECT set_config('statement_timeout', '50ms', true)"), {})
        await transaction.all(text("SELECT pg_sleep(8)"), {})

    @app.post("/statement")
    async def statement(transaction: CallersTransaction) -> None:
        await transaction.all(HALF, {})
        await transaction.all(text("SELECT 1 / 0"), {})

    @app.post("/handler")
    async def handler(transaction: CallersTransaction) -> None:
        await transaction.all(HALF, {})
        raise RuntimeError

    @app.post("/serialisation", response_model=int)
    async def serialisation(transaction: CallersTransaction) -> Any:
        await transaction.all(HALF, {})
        return object()

    @app.post("/killed")
    async def killed(transaction: CallersTransaction) -> None:
        await transaction.all(HALF, {})
        await transaction.all(text("SELECT pg_terminate_backend(pg_backend_pid())"), {})


@pytest.mark.parametrize(
    ("where", "status", "same_connection"),
    [
        ("timeout", 503, True),
        ("statement", 422, True),
        ("handler", 500, True),
        ("serialisation", 500, True),
        ("killed", 503, False),
    ],
)
async def test_a_request_that_fails_leaves_nothing_to_the_next(
    one: OnOneConnection, where: str, status: int, same_connection: bool
) -> None:
    before = await one.backend()
    async with one.user(one.alice) as alice:
        assert (await alice.post(f"/{where}")).status_code == status
    assert (await one.backend() == before) is same_connection
    await one.nothing_is_left()


def raising(original: Callable[..., Any], error: BaseException, *, after: bool) -> Callable[..., Any]:
    """The same, once: with an error before it, or after it. Then it is as it was."""
    left = [error]

    async def awaited(*arguments: Any) -> Any:
        if left and not after:
            raise left.pop()
        result = await original(*arguments)
        if left:
            raise left.pop()
        return result

    def called(*arguments: Any, **more: Any) -> Any:
        if left and not after:
            raise left.pop()
        result = original(*arguments, **more)
        if left:
            raise left.pop()
        return result

    return awaited if asyncio.iscoroutinefunction(original) else called


POINTS: dict[str, tuple[object, str, bool]] = {
    "before the connection knows whose": (OneCallerConnection, "next_transaction_is_for", False),
    "when the connection knows whose": (OneCallerConnection, "next_transaction_is_for", True),
    "before BEGIN": (_Transaction, "start", False),
    "after SET LOCAL": (_Transaction, "start", True),
    "in what makes the answer": (routes, "etag_of", True),
    "before COMMIT": (_Transaction, "commit", False),
    "after COMMIT": (_Transaction, "commit", True),
}
ERRORS = [RuntimeError, OSError, asyncio.CancelledError, asyncpg.PostgresConnectionError, MemoryError]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("point", POINTS)
async def test_an_error_at_any_point_leaves_nothing_to_the_next(
    one: OnOneConnection, monkeypatch: pytest.MonkeyPatch, point: str, error: type[BaseException]
) -> None:
    owner, name, after = POINTS[point]
    async with one.user(one.alice) as alice:
        task = (await alice.get("/tasks")).json()[0]
        monkeypatch.setattr(owner, name, raising(getattr(owner, name), error(), after=after))
        with suppress(asyncio.CancelledError):
            # A change that leaves as many tasks as there were, whether it came to be or not.
            answer = await alice.put(f"/tasks/{task['id']}", json={"title": "changed"})
            assert answer.status_code in (500, 503)
    await one.nothing_is_left()


async def test_a_request_that_is_cancelled_in_a_statement_leaves_nothing_to_the_next(one: OnOneConnection) -> None:
    async with one.user(one.alice) as alice:
        request = asyncio.create_task(alice.post("/slow"))
        await asyncio.sleep(0.1)
        request.cancel()
        await asyncio.wait([request])
    await one.nothing_is_left()


async def test_requests_that_are_cancelled_at_any_moment_are_done_or_not_and_leave_nothing(
    one: OnOneConnection,
) -> None:
    """A hundred moments from the first to the last of a request that runs three statements."""
    moments = 100
    async with one.user(one.alice) as alice, one.user(one.bob) as bob:

        async def create(number: int) -> httpx.Response:
            headers = {"Idempotency-Key": f"key-{number}"}
            return await alice.post("/tasks", json={"title": f"{number}"}, headers=headers)

        started = asyncio.get_running_loop().time()
        await create(0)
        lasts = asyncio.get_running_loop().time() - started
        for number in range(1, moments):
            request = asyncio.create_task(create(number))
            await asyncio.sleep(lasts * 1.2 * number / moments)
            request.cancel()
            whose = await bob.get("/whose")
            assert whose.json() == [one.bob, 1]
            await asyncio.wait([request])
            assert (await create(number)).status_code == 201
        titles = [task["title"] for task in (await alice.get("/tasks?sort=created_at&limit=200")).json()]
        assert titles == [one.alice, *(str(number) for number in range(moments))]


@pytest.mark.parametrize("message", ["BEGIN", "COMMIT"])
async def test_a_connection_whose_answer_never_came_is_not_used_again(
    settings: Settings, make_app: MakeApp, token_for: Token, message: str
) -> None:
    async with Wire(settings.database_url.get_secret_value()) as wire:
        one = await _on_one(SecretStr(wire.url), settings, make_app, token_for)
        before = await one.backend()
        async with one.user(one.alice) as alice:
            task = (await alice.get("/tasks")).json()[0]
            wire.cut_after = {"BEGIN": f"BEGIN READ WRITE; SET LOCAL app.user_id = '{one.alice}'"}.get(message, message)
            answer = await alice.put(f"/tasks/{task['id']}", json={"title": "changed"})
            assert answer.status_code == 503
        wire.cut_after = None
        assert await one.backend() != before
        await one.nothing_is_left()


@pytest.mark.parametrize(("message", "code"), [("BEGIN", "database_unavailable"), ("COMMIT", "outcome_unknown")])
async def test_a_connection_that_falls_silent_is_waited_for_no_longer_than_postgres_would_work(
    settings: Settings,
    make_app: MakeApp,
    token_for: Token,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    code: str,
) -> None:
    assert engine._COMMAND_SECONDS == 8  # and here:
    monkeypatch.setattr(engine, "_COMMAND_SECONDS", 0.4)
    async with Wire(settings.database_url.get_secret_value()) as wire:
        one = await _on_one(SecretStr(wire.url), settings, make_app, token_for)
        before = await one.backend()
        async with one.user(one.alice) as alice:
            task = (await alice.get("/tasks")).json()[0]
            wire.cut_after = {"BEGIN": f"BEGIN READ WRITE; SET LOCAL app.user_id = '{one.alice}'"}.get(message, message)
            wire.silent = True
            answer = await asyncio.wait_for(alice.put(f"/tasks/{task['id']}", json={"title": "changed"}), 4)
            assert (answer.status_code, answer.json()["code"]) == (503, code)
        wire.cut_after = None
        assert await one.backend() != before
        await one.nothing_is_left()


async def test_a_connection_that_comes_back_inside_a_transaction_is_not_used_again(one: OnOneConnection) -> None:
    before = await one.backend()
    async with one.app.state.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(f"BEGIN; SET LOCAL app.user_id = '{one.alice}'")
    assert await one.backend() != before
    await one.nothing_is_left()


async def test_a_user_whom_a_session_remembers_is_not_the_next_ones(one: OnOneConnection) -> None:
    """No code sets one for longer than a transaction. Were there some, nobody would see more by it."""
    before = await one.backend()
    async with one.app.state.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(f"SET app.user_id = '{one.alice}'")
    async with one.user(one.bob) as bob:
        for _ in range(3):
            assert (await bob.get("/whose")).json() == [one.bob, 1]
    assert await one.backend() == before


async def test_a_client_that_leaves_in_mid_body_leaves_nothing_to_the_next(one: OnOneConnection) -> None:
    parts: list[Message] = [
        {"type": "http.request", "body": b'{"title": "ha', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0) if len(parts) > 1 else parts[0]

    async def send(message: Message) -> None:
        sent.append(message)

    token = one.token_for(one.alice).encode()
    headers = [(b"authorization", b"Bearer " + token), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/tasks"}
    more = {"raw_path": b"/tasks", "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1)}
    with suppress(ClientDisconnect):
        await one.app({**scope, **more, "headers": headers, "server": ("api.test", 80)}, receive, send)
    await one.nothing_is_left()


async def test_clients_that_hang_up_on_a_running_server_leave_nothing_to_the_next(
    settings: Settings, issuer: Issuer
) -> None:
    """In the head, in the body, and while it is being answered; all on one connection to the database."""
    alice, bob = new_user(), new_user()
    url = settings.database_url.get_secret_value()
    body = b'{"title": "of alice"}'
    with todo_api_server(url, issuer, RATE_LIMIT="off", DATABASE_POOL_SIZE="1") as (port, _):
        head = b"POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(
            body
        )
        message = head + b"Authorization: Bearer %s\r\n\r\n" % issuer.token(alice, expires_in=900).encode() + body
        authorization = {"Authorization": f"Bearer {issuer.token(bob, expires_in=900)}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=authorization) as theirs:
            task = (await theirs.post("/tasks", json={"title": "of bob"})).json()
            for number in range(60):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(message[: -number // 3 or None])
                await writer.drain()
                await asyncio.sleep(number % 6 / 1000)
                writer.transport.abort()
                assert (await theirs.get("/tasks")).json() == [task]


async def test_requests_of_two_callers_that_are_pipelined_on_one_connection_stay_apart(
    settings: Settings, issuer: Issuer
) -> None:
    """As a proxy may send them; here all through one connection to the database, too."""
    alice, bob = new_user(), new_user()
    tokens = {user: issuer.token(user, expires_in=900).encode() for user in (alice, bob)}
    url = settings.database_url.get_secret_value()
    with todo_api_server(url, issuer, RATE_LIMIT="off", DATABASE_POOL_SIZE="1") as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = [alice if number % 3 else bob for number in range(60)]
        for user in asked:
            body = b'{"title": "x"}'
            writer.write(
                b"POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nIdempotency-Key: "
                + str(len(body)).encode()
                + b"\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n%s" % (len(body), tokens[user], body)
                + b"GET /tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n" % tokens[user]
            )
        for user in asked:
            created, listed = [await response(reader) for _ in range(2)]
            assert created["owner_id"] == user
            assert listed == [created]
        writer.close()


async def response(reader: asyncio.StreamReader) -> Any:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return json.loads(await reader.readexactly(length))
