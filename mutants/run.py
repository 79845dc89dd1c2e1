"""Weakens the defences in every way there is, and counts who notices: the audit, tests/security/, or nobody.

Each SQL mutant is a database of its own, made by what `alembic upgrade head --sql` prints with one policy file changed;
each Python mutant is a copy of the repository with one module changed.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path

import service.app
import service.cli  # noqa: F401 - with service.app: what is imported here, a fork for tests need not import
from mutants import Mutant, equivalent, python, score, sql, suite, trial
from service.dev.postgres import embedded

PAGE = suite.ROOT / "docs" / "mutation-score.md"


def main() -> int:
    """Exit code: 0 when every mutant was killed, 1 when one survived."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and stop the servers below
    options = _options()
    proofs = equivalent.proofs()
    every = [*python.mutants(suite.ROOT), *sql.mutants(suite.ROOT)]  # the slow ones first
    equivalent.require_known(every, proofs)
    chosen = [mutant for mutant in every if options.only in mutant.name and mutant.name not in proofs][:: options.every]
    started = time.monotonic()
    outcomes, without_the_wall = _tried(chosen, options.jobs)
    scores = score.of(outcomes, len(proofs), without_the_wall)
    for outcome in outcomes:
        if not outcome.killed:
            print(f"survived: {outcome.mutant.name}")
    for what, figure in scores.items():
        print(f"{what}: {figure}")
    print(f"in {(time.monotonic() - started) / 60:.1f} minutes")
    if len(outcomes) + len(proofs) == len(every):
        PAGE.write_text(score.page(outcomes, proofs, scores), encoding="utf-8")
    return 0 if all(outcome.killed for outcome in outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name holds this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth")
    # Each waits for Postgres, or for a server to start, about a third of the time.
    parser.add_argument("--jobs", type=int, default=1 + (os.cpu_count() or 1), help="default: one more than cores")
    return parser.parse_args()


def _tried(mutants: list[Mutant], jobs: int) -> tuple[list[trial.Outcome], str]:
    outcomes = []
    with _servers(jobs) as urls, ProcessPoolExecutor(jobs, initializer=_start, initargs=(urls,)) as pool:
        without_the_wall = pool.submit(_without_the_wall)
        for outcome in pool.map(_try, mutants):
            noticed = outcome.refused or ", ".join(filter(None, (*outcome.audit, outcome.suite))) or "NOBODY"
            print(f"{outcome.seconds:5.1f} s  {outcome.mutant.name}: {noticed}", flush=True)
            outcomes.append(outcome)
        return outcomes, without_the_wall.result()


@contextmanager
def _servers(jobs: int) -> Iterator["Queue[str]"]:
    """One for each process: they do not share roles."""
    urls: Queue[str] = multiprocessing.Queue()
    with ExitStack() as stack:
        for _ in range(jobs):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-"))
            url = stack.enter_context(embedded(Path(folder) / "postgres"))
            trial.run_sql(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            urls.put(url)
        yield urls


# --- in each of the processes ---

_url = ""
_script = ""


def _start(urls: "Queue[str]") -> None:
    global _url, _script
    _url, _script = urls.get(), trial.migration()


def _try(mutant: Mutant) -> trial.Outcome:
    started = time.monotonic()
    return replace(trial.of(mutant, _url, _script), seconds=time.monotonic() - started)


def _without_the_wall() -> str:
    return trial.without_the_wall(_url, _script)


if __name__ == "__main__":
    sys.exit(main())
