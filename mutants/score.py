"""The score in a line, and docs/mutation-score.md."""

from collections.abc import Iterator
from itertools import groupby

from mutants.suite import OF_SQL
from mutants.trial import Outcome

PREAMBLE = f"""\
# Mutation score

Each line below is a way to weaken the defences: one statement of `db/policies/` changed, something done to the database
after the migration, or one line of the Python between a request and the policies. `make mutants` makes each of them for
real, then runs `todo-api audit` on it and `tests/security/` against it, and writes this page. Mutants of SQL are
generated from the policy files as Postgres's own parser reads them ([mutants/sql.py](../mutants/sql.py)); those that no
statement of a file can be changed to are in [mutants/by_hand.sql](../mutants/by_hand.sql), those of Python in
[mutants/python.py](../mutants/python.py).

*The audit* names the checks that found it; pgrls is asked only when none of the others did. *The tests* names the first
that failed. For SQL these are {", ".join(OF_SQL)}; "the service does not start" means that its guard refused the
database before any test could ask it something. A wall within a door is two defences, so that many a mutant lets nobody
through: it is to be noticed all the same.
"""


def summary(outcomes: list[Outcome], spared: int, seconds: float) -> str:
    """What `make mutants` prints at its end."""
    survivors = [f"survived: {outcome.mutant.name}" for outcome in outcomes if not outcome.killed]
    scores = [f"{what}: {figure}" for what, figure in _scores(outcomes, spared)]
    return "\n".join([*survivors, *scores, f"in {seconds / 60:.1f} minutes"])


def page(outcomes: list[Outcome], proofs: dict[str, str]) -> str:
    """Markdown: the scores, those that are equivalent with their proofs, and a table of each statement's mutants."""
    parts = [PREAMBLE, _table(("score", "killed / total"), _scores(outcomes, len(proofs)))]
    if proofs:
        parts += ["\n## Equivalent\n", _table(("mutant", "why nobody could notice"), proofs.items())]
    for of, group in groupby(outcomes, key=lambda outcome: outcome.mutant.of):
        parts += [f"\n## {of}\n", _table(("mutant", "the audit", "the tests"), map(_row, group))]
    return "\n".join(parts) + "\n"


def _scores(outcomes: list[Outcome], spared: int) -> Iterator[tuple[str, str]]:
    sql = [outcome for outcome in outcomes if outcome.mutant.by == "sql"]
    in_force = [outcome for outcome in sql if not outcome.refused]
    python = [outcome for outcome in outcomes if outcome.mutant.by == "python"]
    asked = [*in_force, *python]
    yield "all mutants, by either", _of(sum(outcome.killed for outcome in outcomes), len(outcomes))
    yield "of these by the migration, which refuses them", f"{len(sql) - len(in_force)}"
    yield "SQL in force, by the audit", _of(sum(bool(outcome.audit) for outcome in in_force), len(in_force))
    yield "SQL in force, by the tests", _of(sum(bool(outcome.suite) for outcome in in_force), len(in_force))
    yield "Python, by the tests", _of(sum(bool(outcome.suite) for outcome in python), len(python))
    yield "SQL in force and Python, by the tests", _of(sum(bool(outcome.suite) for outcome in asked), len(asked))
    yield "equivalent, not counted", f"{spared}"


def _of(killed: int, total: int) -> str:
    # Rounded down: 100 % means all of them.
    return f"{killed} / {total}" + (f" ({killed * 1000 // total / 10:.1f} %)" if total else "")


def _row(outcome: Outcome) -> tuple[str, str, str]:
    what = outcome.mutant.what
    if outcome.refused:
        return what, f"the migration refuses it: {outcome.refused}", ""
    return what, ", ".join(outcome.audit) or "**nobody**", outcome.suite or "**nobody**"


def _table(heads: tuple[str, ...], rows: object) -> str:
    lines = [heads, ("---",) * len(heads), *rows]  # type: ignore[misc]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines)
