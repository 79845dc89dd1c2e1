"""A database that was weakened by hand, and what the audit says of it."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.access import read_access
from audit.examination import audit
from audit.finding import Finding
from tests.conftest import Database, run_sql

# The command as it is installed.
TODO_API = Path(sys.executable).with_name("todo-api")

Weakened = Callable[..., Database]


@pytest.fixture(autouse=True)
def _alone_with_the_roles(roles_to_itself: None) -> None:
    """Drift compares the roles of the cluster, which other tests change."""


@pytest.fixture(autouse=True)
def _pgrls_where_it_is_tested(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second for each look at a database, and tests/audit/test_pgrls.py tries it."""
    if not request.module.__name__.endswith("test_pgrls"):
        monkeypatch.setattr("audit.pgrls.version", lambda: None)


@pytest.fixture(scope="session")
def audited(make_database: Callable[[], Database]) -> Database:
    """One of the audit's own: rows that other tests make would stand in the way of a weakening."""
    return make_database()


@pytest.fixture
def weakened(make_database: Callable[[], Database]) -> Weakened:
    """A migrated database on which these statements were run, as psql would."""

    def make(*statements: str) -> Database:
        audited = make_database()
        asyncio.run(run_sql(audited.superuser_url, *statements))
        return audited

    return make


def findings(audited: Database) -> list[Finding]:
    return asyncio.run(audit(audited.superuser_url, read_access())).findings
