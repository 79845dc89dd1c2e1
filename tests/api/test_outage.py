"""Postgres goes away while the service runs, and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from service.database.migrate import migrate
from service.dev.postgres import embedded
from service.settings import MigrationSettings, Settings
from tests.conftest import Database, MakeApp, Token, http_client, new_user, run_sql

CREATE: dict[str, Any] = {"json": {"title": "x"}}


class Switch:
    """A Postgres of this test's own, to be turned off and on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()

    async def on(self) -> str:
        return await asyncio.to_thread(self._running.enter_context, embedded(self._folder))

    async def off(self) -> None:
        await asyncio.to_thread(self._running.close)


@pytest.fixture
async def switch(scratch: Path) -> AsyncIterator[Switch]:
    switch = Switch(scratch / "postgres")
    yield switch
    await switch.off()


async def test_an_outage_is_503_and_over_without_a_restart(
    switch: Switch, settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    url = await switch.on()
    await asyncio.to_thread(migrate, MigrationSettings(migration_database_url=SecretStr(url)))
    api_url = make_url(url).set(username="todo_api").render_as_string(hide_password=False)
    app = make_app(settings.model_copy(update={"database_url": SecretStr(api_url)}))

    async with http_client(app, token_for(new_user())) as client:
        # As many connections as the pool holds, all of which the outage will cut.
        created = await asyncio.gather(*(client.post("/tasks", **CREATE) for _ in range(20)))
        assert {response.status_code for response in created} == {201}

        await switch.off()
        started = time.monotonic()
        refused = await asyncio.gather(*(client.get("/tasks") for _ in range(20)), client.post("/tasks", **CREATE))
        assert time.monotonic() - started < 5
        assert [is_unavailable(response) for response in refused] == [True] * 21
        assert is_unavailable(await client.get("/readyz"))
        assert (await client.get("/livez")).status_code == 200

        await switch.on()
        assert len((await client.get("/tasks")).json()) == 20
        await asyncio.sleep(1.1)  # readiness is looked at once a second
        assert (await client.get("/readyz")).status_code == 200

        # Connections that died while nobody used them, as on Neon after five idle minutes, cost no request.
        await switch.off()
        await switch.on()
        again = await asyncio.gather(*(client.get("/tasks") for _ in range(20)))
        assert {response.status_code for response in again} == {200}


def is_unavailable(response: httpx.Response) -> bool:
    return (
        response.status_code == 503
        and response.headers["content-type"] == "application/problem+json"
        and response.json()["code"] == "database_unavailable"
        and int(response.headers["retry-after"]) > 0
    )


async def test_a_pool_that_stays_busy_is_503(settings: Settings, make_app: MakeApp, token_for: Token) -> None:
    app = make_app(settings.model_copy(update={"database_pool_size": 1}))
    async with http_client(app, token_for(new_user())) as client, app.state.engine.connect():
        started = time.monotonic()
        assert is_unavailable(await client.get("/tasks"))
        assert time.monotonic() - started < 5
    await app.state.engine.dispose()


async def test_a_column_that_a_migration_changes_is_503_at_worst(
    make_database: Callable[[], Database], settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    """A prepared statement may return another type from then on, which Postgres refuses once."""
    database = await asyncio.to_thread(make_database)
    app = make_app(settings.model_copy(update={"database_url": SecretStr(database.api_url), "database_pool_size": 1}))
    async with http_client(app, token_for(new_user())) as client:
        await client.post("/tasks", **CREATE)
        assert (await client.get("/tasks")).status_code == 200
        await run_sql(database.superuser_url, 'ALTER TABLE app.tasks ALTER title TYPE text COLLATE "default"')
        statuses = [(await client.get("/tasks")).status_code for _ in range(3)]
    assert statuses[0] in (200, 503)
    assert statuses[1:] == [200, 200]


async def test_a_server_that_does_not_answer_is_503_within_five_seconds(
    settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    silent = SecretStr(f"postgresql://todo_api:x@127.0.0.1:{port}/todo")
    async with (
        server,
        http_client(make_app(settings.model_copy(update={"database_url": silent})), token_for(new_user())) as client,
    ):
        started = time.monotonic()
        assert is_unavailable(await client.get("/tasks"))
        assert time.monotonic() - started < 5
