"""What an audit finds, or that it cannot look."""

from collections.abc import Callable
from dataclasses import dataclass

# Is told what is being done.
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
        mend: SQL that mends it when pasted, or what to do.
    """

    check: str
    object: str
    what: str
    mend: str
