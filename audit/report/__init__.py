"""What was found, in the form that somebody wants to read it in."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from audit.access import Access
from audit.finding import Finding
from audit.policies import Policy


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
        policies: the policies and grants of db/policies/, each with the sentence in plain English above it.
        versions: of the tools, and the SHA-256 of db/access.toml and db/policies/.
    """

    database: str
    server: str
    at: datetime
    access: Access
    findings: list[Finding]
    done: dict[str, str] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`no finding`, `1 finding`, `2 findings`."""
        return count(len(self.findings))


Render = Callable[[Report], str]


def renderers() -> dict[str, Render]:
    """How to write a report, by the name of the format."""
    from audit.report import html, json, markdown, sarif, text

    return {
        "text": text.render,
        "json": json.render,
        "sarif": sarif.render,
        "html": html.render,
        "markdown": markdown.render,
    }


def count(findings: int) -> str:
    """So many findings, in words."""
    return {0: "no finding", 1: "1 finding"}.get(findings, f"{findings} findings")


def capital(sentence: str) -> str:
    """Begin a sentence with a capital letter, unless it begins with a name: `todo_api`, `db/access.toml`."""
    first = sentence.partition(" ")[0]
    return sentence[:1].upper() + sentence[1:] if first.strip(",:").isalpha() else sentence


def visible(text: str, keep: str = "") -> str:
    """Write out what would move a cursor, clear a screen or turn the direction of writing: a name may hold it.

    Args:
        text: anything that a database may hold.
        keep: characters to leave as they are.
    """
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}
        else character.encode("unicode_escape").decode()
        for character in text
    )
