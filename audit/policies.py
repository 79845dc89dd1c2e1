"""db/policies/*.sql, read for people: each policy and grant with the sentence in plain English above it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POLICIES_FOLDER = Path(__file__).parents[1] / "db" / "policies"

# A statement begins at the margin and ends with a semicolon at the end of a line. What a DO block runs is indented.
_POLICY = re.compile(r"^CREATE POLICY (?P<name>\S+) ON (?P<on>\S+) .+?;$", re.MULTILINE | re.DOTALL)
_GRANT = re.compile(r"^GRANT (?P<name>.+?) ON (?:\w+ )?(?P<on>\S+) TO .+?;$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Policy:
    """A CREATE POLICY or GRANT of db/policies/.

    Args:
        file: where it stands, seen from the root of the repository: `db/policies/0020_tasks.sql`.
        line: where it begins, counted from 1.
        kind: which of both it is.
        name: of the policy, or what is granted: `SELECT (id, title)`.
        on: what it is about, by its name in SQL: `app.tasks`.
        says: what it means, in plain English. Empty when nobody wrote it down.
        sql: the statement.
    """

    file: str
    line: int
    kind: str
    name: str
    on: str
    says: str
    sql: str


def read_policies(folder: Path = POLICIES_FOLDER) -> list[Policy]:
    """Read every policy and grant, in the order in which they are run.

    Args:
        folder: holds the SQL files.

    Raises:
        OSError: when a file cannot be read.
    """
    return [policy for file in policy_files(folder) for policy in _read(file)]


def policy_files(folder: Path = POLICIES_FOLDER) -> list[Path]:
    """The SQL files, in the order in which they are run."""
    return sorted(folder.glob("*.sql"))


def path_in_repository(file: Path) -> str:
    """A file of db/policies/ as it is named from the root of the repository."""
    return f"db/policies/{file.name}"


def _read(file: Path) -> Iterator[Policy]:
    text = file.read_text(encoding="utf-8")
    found = [(match, kind) for kind, what in (("policy", _POLICY), ("grant", _GRANT)) for match in what.finditer(text)]
    for match, kind in sorted(found, key=lambda pair: pair[0].start()):
        yield Policy(
            file=path_in_repository(file),
            line=text.count("\n", 0, match.start()) + 1,
            kind=kind,
            name=match["name"],
            on=match["on"],
            says=_comment_above(text[: match.start()]),
            sql=match.group(),
        )


def _comment_above(text: str) -> str:
    # One sentence may stand above several statements that no empty line parts.
    paragraph = text.rpartition("\n\n")[2]
    return " ".join(line.removeprefix("--").strip() for line in paragraph.splitlines() if line.startswith("--"))
