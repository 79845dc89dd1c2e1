"""A real Postgres, the real application, real tokens.

The first process makes one template database; each worker of pytest-xdist clones it. A fresh user in each
test is the isolation between tests: nothing is torn down.
"""

import asyncio
import fcntl
import os
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import make_url

from service.app import create_app
from service.cli import main
from service.database.migrate import migrate
from service.dev.issuer import ISSUER, Issuer
from service.settings import MigrationSettings, Settings
from tests import deployment
from tests.servers import postgres_server

_SERVER = pytest.StashKey[dict[str, str]]()
_OPEN = pytest.StashKey[ExitStack]()


@dataclass(frozen=True)
class Database:
    """A migrated database of this worker's own."""

    name: str
    superuser_url: str
    api_url: str

    async def as_superuser(self) -> asyncpg.Connection:
        """For no longer than that it waits for what a test that failed left locked."""
        return await asyncpg.connect(self.superuser_url, server_settings={"lock_timeout": "10s"})

    async def as_api(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.api_url)


def in_database(url: str, database: str, **changes: Any) -> str:
    """The same server's URL for another database, and perhaps another role."""
    return make_url(url).set(database=database, **changes).render_as_string(hide_password=False)


async def run_sql(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


# --- a deployment that runs somewhere, in place of all that follows ---


def pytest_addoption(parser: pytest.Parser) -> None:
    deployment.add_options(parser)


_LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if deployment.url_of(config):
        left_out = [item for item in items if not deployment.needs_http_alone(item)]
        items[:] = [item for item in items if deployment.needs_http_alone(item)]
        config.hook.pytest_deselected(items=left_out)
        config.stash[_LEFT_OUT] = len(left_out)


def pytest_report_collectionfinish(config: pytest.Config) -> str | None:
    if _LEFT_OUT not in config.stash:
        return None
    return f"{config.option.url}: {config.stash[_LEFT_OUT]} tests are left out, which need the process or its database"


# --- the server and its template: made once, by the process that pytest was started as ---


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly or deployment.url_of(config):
        return
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))  # and stop the server below
    stack = config.stash[_OPEN] = ExitStack()
    kind, url = stack.enter_context(postgres_server())
    password = secrets.token_urlsafe()
    if name := os.environ.get("TEST_TEMPLATE"):  # a database that is migrated already: `make mutants` makes some
        asyncio.run(run_sql(url, f"ALTER ROLE todo_api PASSWORD '{password}'"))
        config.stash[_SERVER] = {"kind": kind, "url": url, "template": name, "password": password}
        return
    name = f"todo_template_{secrets.token_hex(4)}"
    asyncio.run(run_sql(url, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
    stack.callback(lambda: asyncio.run(run_sql(url, f"DROP DATABASE {name} WITH (FORCE)")))
    migrate(
        MigrationSettings(
            migration_database_url=SecretStr(in_database(url, name)),
            database_url=SecretStr(in_database(url, name, username="todo_api", password=password)),
        )
    )
    config.stash[_SERVER] = {"kind": kind, "url": url, "template": name, "password": password}


def pytest_unconfigure(config: pytest.Config) -> None:
    if _OPEN in config.stash:
        config.stash[_OPEN].close()


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"database: {config.stash[_SERVER]['kind']}" if _SERVER in config.stash else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["server"] = node.config.stash[_SERVER]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> dict[str, str]:
    """kind, url (of a superuser), template, password (of todo_api)."""
    worker = getattr(request.config, "workerinput", None)
    found: dict[str, str] = worker["server"] if worker else request.config.stash[_SERVER]
    return found


# --- what each worker has ---


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for a Postgres. Not tmp_path: for root, Postgres runs as another user, whom any start of pytest shuts
    out of that one."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def make_database(server: dict[str, str]) -> Iterator[Callable[[], Database]]:
    """Clone the template."""
    url = server["url"]
    made: list[str] = []

    def clone() -> Database:
        name = f"todo_test_{secrets.token_hex(4)}"
        asyncio.run(run_sql(url, f"CREATE DATABASE {name} TEMPLATE {server['template']}"))
        made.append(name)
        return Database(
            name=name,
            superuser_url=in_database(url, name),
            api_url=in_database(url, name, username="todo_api", password=server["password"]),
        )

    yield clone
    for name in made if server["kind"] == "url" else ():  # any other server ends with the tests
        asyncio.run(run_sql(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def roles_to_itself(server: dict[str, str]) -> Iterator[None]:
    """For a test that changes todo_api or counts on it: roles belong to the cluster, which all workers share."""
    with (Path(tempfile.gettempdir()) / f"{server['template']}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with tempfile.TemporaryDirectory() as folder:
        issuer = Issuer(Path(folder))
        issuer.ensure_keys()
        yield issuer


@pytest.fixture(scope="session")
def settings(database: Database, issuer: Issuer) -> Settings:
    return Settings(
        database_url=SecretStr(database.api_url),
        database_pool_size=5,
        auth_issuer=ISSUER,
        auth_audience=ISSUER,
        auth_jwks_file=issuer.jwks_file,
        auth_algorithms=("EdDSA",),
        cors_origins=("https://app.example.com",),
        cursor_key=SecretStr(secrets.token_hex(32)),
        rate_limit=False,  # every test sends more from one address than a person would
    )


StartApp = Callable[[Settings], Any]


@pytest_asyncio.fixture(scope="session")
async def start_app() -> AsyncIterator[StartApp]:
    """Start an application and keep it until the end."""
    async with AsyncExitStack() as stack:

        async def start(settings: Settings) -> FastAPI:
            app = create_app(settings)
            await stack.enter_async_context(app.router.lifespan_context(app))
            return app

        yield start


@pytest_asyncio.fixture(scope="session")
async def app(settings: Settings, start_app: StartApp) -> FastAPI:
    started: FastAPI = await start_app(settings)
    return started


MakeApp = Callable[[Settings], FastAPI]


@pytest_asyncio.fixture
async def make_app() -> AsyncIterator[MakeApp]:
    """Build an application that the guard has not looked at, for tests of what comes after it."""
    async with AsyncExitStack() as stack:

        def make(settings: Settings) -> FastAPI:
            app = create_app(settings)
            stack.push_async_callback(app.state.engine.dispose)
            return app

        yield make


@pytest_asyncio.fixture(scope="session")
async def app_without_database(settings: Settings) -> AsyncIterator[FastAPI]:
    """The database is away; the guard had let the service start before."""
    nobody = SecretStr("postgresql://todo_api:x@127.0.0.1:1/todo")
    app = create_app(settings.model_copy(update={"database_url": nobody}))
    yield app
    await app.state.engine.dispose()


def new_user() -> str:
    """A user id as Better Auth makes them: 32 letters and digits."""
    return secrets.token_hex(16)


def http_client(app: FastAPI, token: str | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)


Token = Callable[[str], str]


@pytest.fixture
def token_for(issuer: Issuer) -> Token:
    return lambda user_id: issuer.token(user_id, expires_in=900)


Client = Callable[..., httpx.AsyncClient]


Connect = Callable[[str | None], httpx.AsyncClient]


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Connect:
    """What `client` makes clients with. It asks for the application only where there is no other."""
    if deployment.url_of(request.config):
        return deployment.two_users(request.config)
    app, token_for = request.getfixturevalue("app"), request.getfixturevalue("token_for")
    return lambda user_id: http_client(app, None if user_id is None else token_for(user_id or new_user()))


@pytest_asyncio.fixture
async def client(connect: Connect, pytestconfig: pytest.Config) -> AsyncIterator[Client]:
    """`client()` is somebody new, `client("alice")` is alice, `client(None)` is nobody."""
    if deployment.url_of(pytestconfig):
        await deployment.forget_all_tasks(pytestconfig)
    async with AsyncExitStack() as stack:

        def make(user_id: str | None = "") -> httpx.AsyncClient:
            made = connect(user_id)
            stack.push_async_callback(made.aclose)
            return made

        yield make


Main = Callable[..., tuple[int, str]]


@pytest.fixture
def main_with(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    """The command within this process, which is faster: its exit code, and what it said on stderr."""

    def run_main(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            for name in (*Settings.model_fields, *MigrationSettings.model_fields):
                patch.delenv(name.upper(), raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            code = main(arguments)
        return code, capsys.readouterr().err

    return run_main
