"""What was found, in the form that somebody wants to read it in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from audit.access import Access
from audit.finding import Finding


@dataclass(frozen=True, slots=True)
class Report:
    """An audit that came to its end.

    Args:
        database: its name and host, without a password.
        server: the version of Postgres.
        at: when, in UTC.
        access: what was judged by.
        findings: what was found; none is what one hopes for.
        done: what was done, and how much of it: `{"catalog checks": "27 queries"}`.
        policies: of each policy of schema `app`: table, name, and the sentence in plain English above it.
        versions: of the tools, and the SHA-256 of db/access.toml and db/policies/.
    """

    database: str
    server: str
    at: datetime
    access: Access
    findings: list[Finding]
    done: dict[str, str] = field(default_factory=dict)
    policies: list[tuple[str, str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


Render = Callable[[Report], str]


def renderers() -> dict[str, Render]:
    """How to write a report, by the name of the format."""
    from audit.report import text

    return {"text": text.render}
