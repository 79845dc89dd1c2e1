"""One mutant, and who notices it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

import audit.pgrls
from audit.access import read_access
from audit.examination import audit as look
from audit.finding import CannotLook
from mutants import Mutant, suite

_NAME = "mutant"
_DROP_ROLES = "DROP ROLE IF EXISTS todo_api, todo_owner"  # what is weakened in one must not be found in the next
_BY_HAND = "\nCOMMIT;"  # the end of a migration


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who noticed a mutant.

    Args:
        refused: why the migration failed, so that it is never in force.
        audit: the checks that found it.
        suite: the first test that failed.
        seconds: how long all of that took.
    """

    mutant: Mutant
    refused: str
    audit: tuple[str, ...]
    suite: str
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        """Whether anybody did."""
        return bool(self.refused or self.audit or self.suite)


def migration() -> str:
    """All the SQL that a migration of an empty database runs."""
    environment = os.environ | {"MIGRATION_DATABASE_URL": "postgresql://nobody@localhost/none"}
    command = [str(Path(sys.executable).with_name("alembic")), "upgrade", "head", "--sql"]
    return subprocess.run(command, cwd=suite.ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def run_sql(url: str, *statements: str) -> None:
    """Run each as psql would."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def of(mutant: Mutant, url: str, script: str) -> Outcome:
    """Make it, and ask whoever may notice.

    Args:
        url: of a superuser, on a server that nobody else uses: roles belong to all of its databases.
        script: what `migration` gave.
    """
    if mutant.by == "python":  # its database is as it should be, so that an audit has nothing to find
        return Outcome(mutant, "", (), _in_a_copy(mutant, url))
    with _database(url) as database:
        try:
            run_sql(database, _weakened(script, mutant))
        except asyncpg.PostgresError as error:
            return Outcome(mutant, str(error), (), "")
        checks = _checks(database)
        test = suite.in_database(_NAME, url)
    if not checks and not test:
        test = _in_a_copy(mutant, url)
    return Outcome(mutant, "", checks, test)


def without_the_wall(url: str, script: str) -> str:
    """How many tests of isolation fail when row-level security is off on every table: `94 / 106`."""
    off = "".join(f"ALTER TABLE app.{table} DISABLE ROW LEVEL SECURITY;\n" for table in read_access().tables)
    with _database(url) as database:
        run_sql(database, script.replace(_BY_HAND, f"\n{off}{_BY_HAND}"))
        return suite.without_the_wall(_NAME, url)


def _in_a_copy(mutant: Mutant, url: str) -> str:
    try:
        return suite.in_a_copy(mutant, url)
    finally:
        run_sql(url, _DROP_ROLES)


@contextmanager
def _database(url: str) -> Iterator[str]:
    run_sql(url, f"CREATE DATABASE {_NAME} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield make_url(url).set(database=_NAME).render_as_string(hide_password=False)
    finally:
        run_sql(url, f"DROP DATABASE {_NAME} WITH (FORCE)", _DROP_ROLES)


def _weakened(script: str, mutant: Mutant) -> str:
    file = suite.ROOT / mutant.file
    old, new = (file.read_text().strip(), mutant.text) if file.exists() else (_BY_HAND, f"\n{mutant.text}{_BY_HAND}")
    if script.count(old) != 1:
        raise ValueError(f"a migration runs {mutant.file} {script.count(old)} times")
    return script.replace(old, new)


def _checks(url: str) -> tuple[str, ...]:
    """The names of those that find something. pgrls takes most of the time: it is asked when nobody else knows."""
    version, audit.pgrls.version = audit.pgrls.version, lambda: None
    try:
        found = _look(url)
    finally:
        audit.pgrls.version = version
    return found or _look(url)


def _look(url: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({finding.check for finding in asyncio.run(look(url, read_access())).findings}))
    except CannotLook as error:
        return (f"cannot look: {error}",)
