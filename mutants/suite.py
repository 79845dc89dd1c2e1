"""tests/security/, run until the first test fails."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mutants import Mutant
from service.database import guard

ROOT = Path(__file__).parents[1]
# What asks the database, or could not do without it. The other files judge tokens, keys and time.
OF_SQL = ("test_isolation", "test_policies", "test_sql_as_todo_api", "test_guard", "test_transaction")
# What a policy file does where roles, policies and grants are there already.
OF_MIGRATIONS = "tests/database/test_migrations.py"
# What tries to reach the rows of others. So does test_state_machine, which looks for minutes for its smallest failure.
OF_ISOLATION = (
    "test_isolation",
    "test_sql_as_todo_api",
    "test_injection",
    "test_pooled_connections",
    "test_covert_channels",
)
# What asks the module that is weakened comes first: it is then known sooner.
OF_PYTHON = {
    "service/app.py": ("test_guard",),
    "service/database/connection.py": ("test_transaction", "test_pooled_connections"),
    "service/database/guard.py": ("test_guard",),
    "service/database/transaction.py": ("test_transaction", "test_pooled_connections"),
    "service/identity/bearer.py": ("test_tokens", "test_architecture"),
    "service/identity/caller.py": ("test_tokens",),
    "service/identity/jwks.py": ("test_algorithms", "test_key_file", "test_keys"),
    "service/identity/keys.py": ("test_keys",),
    "service/identity/verifier.py": ("test_tokens", "test_algorithms", "test_checked_signatures", "test_keys"),
}
# Without plugins that no test here needs: loading them takes longer than the tests. The last one would judge what the
# parent of a fork left open.
_QUIETLY = (
    *("-q", "--assert=plain", "--disable-plugin-autoload", "-ppytest_asyncio.plugin"),
    *("-pno:cacheprovider", "-pno:unraisableexception"),
)
NO_START = "the service does not start"


class _Reports:
    """A plugin of pytest that keeps how many tests there were, and which failed."""

    def __init__(self) -> None:
        self.tests = 0
        self.failed: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tests += report.when == "setup"
        if report.failed:
            # Before any test is asked, the guard is: see service/database/guard.py.
            refused = report.when == "setup" and "GuardError" in report.longreprtext
            self.failed[NO_START if refused else report.nodeid.rpartition("::")[2]] = None


def in_database(template: str, url: str) -> str:
    """The first test of OF_SQL that fails with this database as the template of all, or nothing."""
    return _in_a_fork(lambda: _run_of_sql(template, url))


def _run_of_sql(template: str, url: str) -> str:
    reports, code = _run(template, url, "-x", *_paths(OF_SQL))
    return _first(list(reports.failed), code)


def without_the_wall(template: str, url: str) -> str:
    """How many of the tests of OF_ISOLATION fail in this database, where nothing keeps rows apart: `94 / 106`.

    The guard is off, or else the service would not start.
    """
    return _in_a_fork(lambda: _run_of_isolation(template, url))


def _run_of_isolation(template: str, url: str) -> str:
    async def no_faults(engine: object) -> list[guard.Fault]:
        return []

    guard.find_faults = no_faults
    reports, _ = _run(template, url, *_paths(OF_ISOLATION))
    return f"{len(reports.failed)} / {reports.tests} ({len(reports.failed) * 100 // reports.tests} %)"


def _in_a_fork(work: Callable[[], str]) -> str:
    """What a child process says: it has the modules of the service in memory already, and may break what it likes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        said = "pytest did not come to its end"
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            said = work()
        finally:
            os.write(writing, said.encode())
            os._exit(0)  # whatever happens: what called this goes on in the parent alone
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def _run(template: str, url: str, *arguments: str) -> tuple[_Reports, int]:
    os.environ |= {"TEST_DATABASE": "url", "TEST_DATABASE_URL": url, "TEST_TEMPLATE": template}
    reports = _Reports()
    return reports, pytest.main([*_QUIETLY, *arguments], [reports])


def in_a_copy(mutant: Mutant, url: str) -> str:
    """The first test that fails in a copy of the repository with one file replaced, or nothing."""
    names = (*OF_PYTHON.get(mutant.file, ()), *(name for names in OF_PYTHON.values() for name in names))
    files = _paths(dict.fromkeys(names)) if mutant.by == "python" else [OF_MIGRATIONS]
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "node_modules"), dirs_exist_ok=True)
        (tree / mutant.file).write_text(mutant.text)
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", *_QUIETLY, *files],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": folder, "TEST_DATABASE": "url", "TEST_DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
    return _first([line.split(" - ")[0].rpartition("::")[2] for line in failed], ran.returncode)


def _first(failed: list[str], code: int) -> str:
    return failed[0] if failed else f"pytest ended with {code}" if code else ""


def _paths(names: Iterable[str]) -> list[str]:
    return [f"tests/security/{name}.py" for name in names]
