"""What an audit finds, or that it cannot look."""

from collections.abc import Callable
from dataclasses import dataclass

# Is told what is being done, in a few words that hold no name of the database's.
Progress = Callable[[str], None]


class CannotLook(Exception):
    """The database cannot be looked at. Its text is one line."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is otherwise than db/access.toml and db/policies/ have it.

    Args:
        check: the name of what found it: `audit --explain NAME` says more.
        object: what it is about: a table, a role, a function, by its name in SQL.
        what: a clause without a full stop.
        mend: SQL that mends it when pasted into psql; where none does, what to do, as a comment: see `in_words`.
    """

    check: str
    object: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands behind the name of a check.

    Args:
        what: it finds.
        why: that matters.
        mend: what mends it, in general.
        how: it looks: a query, or what is tried.
    """

    name: str
    what: str
    why: str
    mend: str
    how: str

    def __str__(self) -> str:
        return f"{self.name}\n\nWhat: {self.what}\nWhy:  {self.why}\nMend: {self.mend}\n\n{self.how}"


def in_words(what_to_do: str) -> str:
    """A mend that is no SQL, as a comment of one line: so all mends of a report can be pasted, one after another."""
    return f"-- {' '.join(what_to_do.split())}"


MIGRATE = in_words("In a shell: todo-api migrate")
