"""Checks of the catalogs: one SQL file each, with what it finds, why that matters and what mends it in its header."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import asyncpg

from audit.access import Access
from audit.finding import Explanation, Finding

_HEADER = re.compile(r"-- What: (?P<what>.+?)\n-- Why: (?P<why>.+?)\n-- Mend: (?P<mend>.+?)\n(?!--)", re.DOTALL)


@cache
def checks() -> dict[str, Explanation]:
    """All of them, by their names.

    Each is a query that gives a row (object, what, mend) for each fault, and reads db/access.toml as
    `current_setting('audit.access')::jsonb`. The mend is SQL without its last semicolon, or a comment.
    """
    return {check.name: check for check in _read()}


def _read() -> Iterator[Explanation]:
    for file in sorted(Path(__file__).parent.glob("*.sql")):
        text = file.read_text()
        header = _HEADER.match(text)
        if header is None:
            raise ValueError(f"{file.name} does not begin with -- What:, -- Why: and -- Mend:")
        sentences = {name: " ".join(said.replace("\n--", " ").split()) for name, said in header.groupdict().items()}
        yield Explanation(name=file.stem, how=text[header.end() :].strip(), **sentences)


async def examine(connection: asyncpg.Connection, check: Explanation) -> list[Finding]:
    """Run a check within a transaction that knows the access: see `tell`."""
    rows = await connection.fetch(check.how)
    return [Finding(check.name, of, what, mend if mend.startswith("--") else f"{mend};") for of, what, mend in rows]


async def tell(connection: asyncpg.Connection, access: Access) -> None:
    """Let the checks of this transaction read db/access.toml, and find and print names in one way, whoever asks."""
    await connection.execute(
        "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),"
        " pg_catalog.set_config('quote_all_identifiers', 'off', true),"
        " pg_catalog.set_config('lock_timeout', '1s', true),"  # printing a predicate locks its table
        " pg_catalog.set_config('jit', 'off', true),"  # it takes a second to compile what runs for a millisecond
        " pg_catalog.set_config('audit.access', $1, true)",
        json.dumps(access.model_dump(mode="json")),
    )
