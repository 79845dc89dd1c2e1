"""The score in a line, and docs/mutation-score.md."""

from collections.abc import Iterable

from mutants.suite import OF_SQL
from mutants.trial import Outcome

NOBODY = "**nobody**"
PREAMBLE = f"""\
# Mutation score

Each line below is a way to weaken the defences: one statement of `db/policies/` changed, something done to the database
after the migration, or one line of the Python between a request and the policies. `make mutants` makes each of them for
real, then runs `todo-api audit` on it and `tests/security/` against it, and writes this page. Mutants of SQL are
generated from the policy files as Postgres's own parser reads them ([mutants/sql.py](../mutants/sql.py)); those that no
statement of a file can be changed to are in [mutants/by_hand.sql](../mutants/by_hand.sql), those of Python in
[mutants/python.py](../mutants/python.py).

*The audit* names the checks that found it; pgrls is asked only when none of the others did. A changed module leaves the
database as it should be, so that the audit is not asked. *The tests* names the first that failed, of
{", ".join(OF_SQL)} for SQL; "the service does not start" means that its guard refused it before any test could
ask something. Where neither noticed, because a new database is as it should be in spite of the mutant, the tests of
migrations are asked, which begin with others. A door in a wall is two defences, so that many a mutant lets nobody
through: it is to be noticed all the same.
"""


def of(outcomes: list[Outcome], spared: int, without_the_wall: str) -> dict[str, str]:
    """Each score, as `killed / total (percent)`.

    Args:
        spared: how many mutants are equivalent.
        without_the_wall: how many tests of isolation failed with row-level security off: `94 / 106`.
    """
    sql = [outcome for outcome in outcomes if outcome.mutant.by == "sql"]
    in_force = [outcome for outcome in sql if not outcome.refused]
    python = [outcome for outcome in outcomes if outcome.mutant.by == "python"]
    return {
        "killed by anybody": _of([outcome.killed for outcome in outcomes]),
        "of these refused by the migration": f"{len(sql) - len(in_force)}",
        "SQL in force, killed by the audit": _of([bool(outcome.audit) for outcome in in_force]),
        "SQL in force, killed by the tests": _of([bool(outcome.suite) for outcome in in_force]),
        "Python, killed by the tests": _of([bool(outcome.suite) for outcome in python]),
        "equivalent, and not counted": f"{spared}",
        "tests of isolation that fail without row-level security": without_the_wall,
    }


def page(outcomes: list[Outcome], proofs: dict[str, str], scores: dict[str, str]) -> str:
    """Markdown: the scores, those that are equivalent with their proofs, and a table of each statement's mutants."""
    parts = [PREAMBLE, _table(("score", "killed / total"), scores.items())]
    parts += ["\n## Equivalent\n", _table(("mutant", "why nobody could notice"), proofs.items())]
    for name in dict.fromkeys(outcome.mutant.of for outcome in outcomes):
        rows = [_row(outcome) for outcome in outcomes if outcome.mutant.of == name]
        parts += [f"\n## {name}\n", _table(("mutant", "the audit", "the tests"), rows)]
    return "\n".join(parts) + "\n"


def _of(killed: list[bool]) -> str:
    # Rounded down: 100 % means all of them.
    share = f" ({sum(killed) * 1000 // len(killed) / 10:.1f} %)" if killed else ""
    return f"{sum(killed)} / {len(killed)}{share}"


def _row(outcome: Outcome) -> tuple[str, str, str]:
    what = outcome.mutant.what
    if outcome.refused:
        return what, f"the migration refuses it: {outcome.refused}", ""
    of_audit = ", ".join(outcome.audit) or ("not asked" if outcome.mutant.by == "python" else NOBODY)
    return what, of_audit, outcome.suite or NOBODY


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines)
