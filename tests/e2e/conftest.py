"""The product as it is deployed: `todo-api serve` in a process of its own, on a Postgres that can be taken away."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from service.database.migrate import migrate
from service.dev.issuer import Issuer
from service.dev.postgres import embedded
from service.settings import MigrationSettings
from tests.cli.test_commands import wait_until
from tests.conftest import run_sql
from tests.e2e.better_auth import BetterAuth
from tests.servers import todo_api_server

BROWSER = Path(__file__).with_name("browser")


class Postgres:
    """A migrated database, on a server of its own.

    Args:
        folder: for its data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.superuser_url = self.start()
        self.api_url = make_url(self.superuser_url).set(username="todo_api").render_as_string(hide_password=False)

    def start(self) -> str:
        return self._running.enter_context(embedded(self._folder))

    def stop(self) -> None:
        self._running.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def grant_revoked(self) -> Iterator[None]:
        """No policy can tell who is asking."""
        function = "FUNCTION app.current_user_id()"
        asyncio.run(run_sql(self.superuser_url, f"REVOKE EXECUTE ON {function} FROM todo_api"))
        try:
            yield
        finally:
            asyncio.run(run_sql(self.superuser_url, f"GRANT EXECUTE ON {function} TO todo_api"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not in tmp_path: for root, Postgres runs as another user, from whom each start of pytest takes that folder away.
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "postgres")
        try:
            migrate(MigrationSettings(migration_database_url=SecretStr(postgres.superuser_url)))
            yield postgres
        finally:
            postgres.stop()


@pytest.fixture(scope="session")
def api(postgres: Postgres, issuer: Issuer) -> Iterator[str]:
    """The URL of the service."""
    # A hundred requests of a user, which are enough for any test, and then hardly another one.
    with todo_api_server(
        postgres.api_url, issuer, RATE_LIMIT_REQUESTS="1", RATE_LIMIT_SECONDS="3600", RATE_LIMIT_BURST="100"
    ) as (port, _):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def better_auth() -> Iterator[BetterAuth]:
    with BetterAuth() as better_auth:
        yield better_auth


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed: install one, or set CHROMIUM to its path")
    return found


Visit = Callable[..., Any]


@pytest.fixture(scope="session")
def visit(chromium: str) -> Visit:
    """Run a script of browser/ in Chromium, with variables of its environment, and give what it has seen."""

    def run_script(name: str, **variables: str) -> Any:
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "CHROMIUM": chromium}
        visit = subprocess.run(
            ["node", BROWSER / name],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert visit.returncode == 0, visit.stderr
        return json.loads(visit.stdout)

    return run_script


def wait_until_ready(api: str) -> None:
    """For the service to have started, or to have noticed that its database is back."""
    wait_until(lambda: httpx.get(f"{api}/readyz").status_code == 200)
