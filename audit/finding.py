"""What an audit finds."""

from dataclasses import dataclass


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
