"""Each check finds what it is for, says how to mend it, and finds nothing in what migrations make."""

import pytest

from audit.checks import checks
from tests.audit.conftest import Weakened, findings, mended
from tests.conftest import Database

# What is done by hand: the check that finds it.
WEAKENINGS = {
    "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY": "rls_missing",
    "ALTER TABLE app.idempotency_keys DISABLE ROW LEVEL SECURITY": "rls_missing",
}


def test_a_migrated_database_has_no_finding(database: Database) -> None:
    assert findings(database) == []


@pytest.mark.parametrize("statement", WEAKENINGS)
def test_a_weakening_is_found_and_its_mend_works(weakened: Weakened, statement: str) -> None:
    database = weakened(statement)
    found = findings(database)
    assert WEAKENINGS[statement] in {finding.check for finding in found}
    assert mended(database, found) == []


def test_every_check_finds_something() -> None:
    assert set(checks()) == set(WEAKENINGS.values())


def test_every_check_says_what_it_looks_for_and_why() -> None:
    for check in checks().values():
        assert all(sentence.endswith(".") for sentence in (check.what, check.why, check.mend)), check.name
