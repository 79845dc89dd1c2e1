"""What one caller can hold: connections to the database, and memory for answers that nobody reads."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from service.dev.issuer import Issuer
from service.settings import Settings
from tests.api.test_refusals import problem
from tests.conftest import Database, MakeApp, Token, http_client, new_user
from tests.servers import todo_api_server

KEY = {"Idempotency-Key": "held"}
TASK = {"title": "x"}


@pytest.fixture
def app_with_four_connections(settings: Settings, make_app: MakeApp) -> FastAPI:
    return make_app(settings.model_copy(update={"database_pool_size": 4}))


async def test_one_callers_slow_requests_leave_connections_for_everybody_else(
    app_with_four_connections: FastAPI, database: Database, token_for: Token
) -> None:
    user = new_user()
    other = await database.as_api()
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"SET LOCAL app.user_id = '{user}'")
    await other.execute("INSERT INTO app.idempotency_keys (key, payload_sha256) VALUES ('held', sha256('x'))")
    async with (
        http_client(app_with_four_connections, token_for(user)) as alice,
        http_client(app_with_four_connections, token_for(new_user())) as bob,
    ):
        # Each waits for the key, for two seconds.
        slow = [asyncio.create_task(alice.post("/tasks", json=TASK, headers=KEY)) for _ in range(12)]
        await asyncio.sleep(0.1)
        started = time.monotonic()
        assert [(await bob.get("/tasks")).status_code for _ in range(5)] == [200] * 5
        assert time.monotonic() - started < 1
        answers = await asyncio.gather(*slow)
        assert (await alice.get("/tasks")).status_code == 200
    await transaction.rollback()
    await other.close()
    assert {answer.status_code for answer in answers} == {409, 429}
    for answer in answers:
        if answer.status_code == 429:
            problem(answer, 429, "rate_limited")


async def test_many_quick_requests_of_one_caller_only_wait(
    app_with_four_connections: FastAPI, token_for: Token
) -> None:
    async with http_client(app_with_four_connections, token_for(new_user())) as alice:
        answers = await asyncio.gather(*(alice.get("/tasks") for _ in range(60)))
    assert {answer.status_code for answer in answers} == {200}


@pytest_asyncio.fixture
async def user_with_twelve_megabytes(database: Database) -> str:
    """Control characters, each of which is six in JSON."""
    user = new_user()
    admin = await database.as_superuser()
    await admin.execute(
        "INSERT INTO app.tasks (owner_id, title, description) "
        "SELECT $1, 'x', repeat(chr(1), 10000) FROM generate_series(1, 200)",
        user,
    )
    await admin.close()
    return user


@pytest_asyncio.fixture
async def port(database: Database, issuer: Issuer) -> AsyncIterator[int]:
    with todo_api_server(database.api_url, issuer, RATE_LIMIT="off", DATABASE_POOL_SIZE="4") as (port, _):
        yield port


async def test_who_does_not_read_gets_no_more(port: int, user_with_twelve_megabytes: str, token_for: Token) -> None:
    token = token_for(user_with_twelve_megabytes)
    request = f"GET /tasks?limit=200 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    deaf = [socket.socket() for _ in range(2)]
    for connection in deaf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(request)
    await asyncio.sleep(0.5)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        problem(await client.get("/tasks?limit=1", headers=headers), 429, "rate_limited")
        stranger = {"Authorization": f"Bearer {token_for(new_user())}"}
        assert (await client.get("/tasks", headers=stranger)).status_code == 200
        for connection in deaf:
            connection.close()
        await asyncio.sleep(0.1)
        read = await client.get("/tasks?limit=200", headers=headers)
        assert (read.status_code, len(read.content)) == (200, int(read.headers["content-length"]))
        assert len(read.content) > 12_000_000
