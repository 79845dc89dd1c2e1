"""Weakens the defences in every way there is, and counts who notices: the audit, tests/security/, or nobody.

Each SQL mutant is a database of its own, made by what `alembic upgrade head --sql` prints with one policy file changed.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from audit.access import read_access
from audit.examination import audit
from audit.finding import CannotLook
from mutants import Mutant, python, sql
from service.dev.postgres import embedded

ROOT = Path(__file__).parents[1]
# What the others of tests/security/ ask has nothing to do with the database: they could not notice.
SUITE = ("test_isolation", "test_sql_as_todo_api", "test_policies", "test_guard", "test_transaction")


# In a fork, what the parent left open is not of interest.
_QUIETLY = ["-x", "-q", *(f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "cov", "unraisableexception"))]


PYTHON_SUITE = (
    "test_tokens",
    "test_transaction",
    "test_checked_signatures",
    "test_guard",
    "test_isolation",
    "test_algorithms",
    "test_key_file",
    "test_keys",
    "test_architecture",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who noticed a mutant.

    Args:
        refused: why the migration itself refused it.
        audit: the checks that found it.
        test: the first test that failed.
    """

    mutant: Mutant
    refused: str
    audit: tuple[str, ...]
    test: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether anybody did."""
        return bool(self.refused or self.audit or self.test)


def main() -> int:
    options = _options()
    every = (*python.mutants(ROOT), *sql.mutants(ROOT))  # the slow ones first
    mutants = [mutant for mutant in every if options.only in mutant.name][:: options.every]
    script = _migration()
    outcomes = []
    with ProcessPoolExecutor(options.jobs, initializer=_start, initargs=(script,)) as pool:
        for outcome in pool.map(_try, mutants):
            outcomes.append(outcome)
            noticed = outcome.refused or ", ".join((*outcome.audit, outcome.test)) or "NOBODY"
            print(f"{outcome.seconds:5.1f} s  {outcome.mutant.name}: {noticed}", flush=True)
    return _score(outcomes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name holds this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: one for each core")
    return parser.parse_args()


def _score(outcomes: list[Outcome]) -> int:
    refused = sum(bool(outcome.refused) for outcome in outcomes)
    by_audit = sum(bool(outcome.audit or outcome.refused) for outcome in outcomes)
    by_suite = sum(bool(outcome.test or outcome.refused) for outcome in outcomes)
    killed = sum(outcome.killed for outcome in outcomes)
    print(
        f"{killed} / {len(outcomes)} killed; the audit {by_audit}, the suite {by_suite}, "
        f"of both {refused} by the migration, which refuses them"
    )
    return 0 if killed == len(outcomes) else 1


def _migration() -> str:
    """All that a migration of an empty database runs."""
    environment = os.environ | {"MIGRATION_DATABASE_URL": "postgresql://nobody@localhost/none"}
    command = [str(Path(sys.executable).with_name("alembic")), "upgrade", "head", "--sql"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


# --- in each of the processes ---

_open = ExitStack()
_url = ""
_script = ""


def _start(script: str) -> None:
    global _url, _script
    _script = script
    folder = _open.enter_context(tempfile.TemporaryDirectory(prefix="mutants-"))
    _url = _open.enter_context(embedded(Path(folder) / "postgres"))
    asyncio.run(_run(_url, "ALTER SYSTEM SET fsync = off; ", "SELECT pg_reload_conf()"))


async def _run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _try(mutant: Mutant) -> Outcome:
    return _try_python(mutant) if mutant.kind == "python" else _try_sql(mutant)


def _try_python(mutant: Mutant) -> Outcome:
    """In a copy of what git knows, with all of tests/security/."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        for file in subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tree / file)
        (tree / mutant.file).write_text(mutant.text)
        environment = os.environ | {"PYTHONPATH": folder, "TEST_DATABASE": "url", "TEST_DATABASE_URL": _url}
        command = [
            sys.executable,
            "-m",
            "pytest",
            *_QUIETLY,
            "-pno:randomly",
            *(f"tests/security/{name}.py" for name in PYTHON_SUITE),
        ]
        ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    failed = [
        line.split(" - ")[0].rpartition("::")[2]
        for line in ran.stdout.splitlines()
        if line.startswith(("FAILED", "ERROR"))
    ]
    test = failed[0] if failed else (f"pytest ended with {ran.returncode}" if ran.returncode else "")
    return Outcome(mutant, "", (), test, time.monotonic() - started)


def _try_sql(mutant: Mutant) -> Outcome:
    started = time.monotonic()
    name = "mutant"
    asyncio.run(_run(_url, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
    url = make_url(_url).set(database=name).render_as_string(hide_password=False)
    refused, test = "", ""
    found: tuple[str, ...] = ()
    try:
        asyncio.run(_run(url, _mutated(mutant)))
        found = _found(url)
        test = _first_failure(name)
    except asyncpg.PostgresError as error:
        refused = f"the migration: {error}"
    finally:
        asyncio.run(_run(_url, f"DROP DATABASE {name} WITH (FORCE)", "DROP ROLE IF EXISTS todo_api, todo_owner"))
    return Outcome(mutant, refused, found, test, time.monotonic() - started)


def _mutated(mutant: Mutant) -> str:
    file = ROOT / mutant.file
    if not file.exists():
        return _script.replace("\nCOMMIT;", f"\n{mutant.text}\nCOMMIT;")
    original = file.read_text().strip()
    assert _script.count(original) == 1
    return _script.replace(original, mutant.text)


def _found(url: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({finding.check for finding in asyncio.run(audit(url, read_access())).findings}))
    except CannotLook as error:
        return (str(error),)


def _first_failure(template: str) -> str:
    """Run the suite in a fork, which has all modules already, and give the name of the first test that fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os.environ |= {"TEST_DATABASE": "url", "TEST_DATABASE_URL": _url, "TEST_TEMPLATE": template}
        failures = _Failures()
        files = [f"tests/security/{name}.py" for name in SUITE]
        try:
            code = pytest.main([*_QUIETLY, *files], [failures])
            os.write(writing, (failures.first or (f"pytest ended with {code}" if code else "")).encode())
        finally:
            os._exit(0)  # whatever happens: what called this goes on in the parent alone
    os.close(writing)
    with os.fdopen(reading) as said:
        first = said.read()
    os.waitpid(child, 0)
    return first


class _Failures:
    first = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid.rpartition("::")[2]


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
