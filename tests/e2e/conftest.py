"""The product as it is deployed: `todo-api serve` in a process of its own, on a Postgres that can be taken away."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from service.database.migrate import migrate
from service.dev.issuer import Issuer
from service.dev.postgres import embedded
from service.settings import MigrationSettings
from tests.cli.test_commands import wait_until
from tests.servers import todo_api_server


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


def wait_until_ready(api: str) -> None:
    """For the service to have started, or to have noticed that its database is back."""
    wait_until(lambda: httpx.get(f"{api}/readyz").status_code == 200)
