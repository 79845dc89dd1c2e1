"""The tables of db/access.toml as the catalogs describe them, and values that their columns take."""

import re
from dataclasses import dataclass

import asyncpg

from audit.access import Access, Table

_COLUMNS = """
SELECT attname AS name, typ.oid::regtype::text AS type, typ.typcategory::text AS category, typ.typtype::text AS kind,
       attnotnull AND NOT atthasdef AND attidentity = '' AS required,
       attgenerated <> '' OR attidentity = 'a' AS computed,
       (SELECT string_agg(pg_get_constraintdef(c.oid), ' ') FROM pg_constraint c
         WHERE c.conrelid = attrelid AND c.contype = 'c' AND c.conkey = ARRAY[attnum]) AS checks,
       coalesce((SELECT attnum = ANY (c.conkey) FROM pg_constraint c
                  WHERE c.conrelid = attrelid AND c.contype = 'p'), false) AS in_key
  FROM pg_attribute
  JOIN pg_type declared ON declared.oid = atttypid
  JOIN pg_type typ ON typ.oid = CASE declared.typtype WHEN 'd' THEN declared.typbasetype ELSE declared.oid END
 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
 ORDER BY attnum
"""

# By category of type, as pg_type.typcategory has it. A text is taken for something short.
_BY_CATEGORY = {"N": "1", "B": "true", "D": "now()", "T": "interval '1 second'", "A": "'{}'", "I": "'127.0.0.1'"}
_BY_TYPE = {
    "uuid": "gen_random_uuid()",
    "bytea": "decode(repeat('00', 32), 'hex')",
    "json": "'{}'",
    "jsonb": "'{}'",
    "time without time zone": "'12:00'",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column, quoted, and an expression that it takes.

    Args:
        name: as db/access.toml writes it.
        required: NOT NULL, and nothing fills it in.
        computed: it can never be written.
        in_key: it is part of the primary key.
    """

    name: str
    sample: str
    required: bool
    computed: bool
    in_key: bool

    def __str__(self) -> str:
        return quote_identifier(self.name)


@dataclass(frozen=True, slots=True)
class Target:
    """A table to probe.

    Args:
        name: quoted, with its schema.
        rules: what db/access.toml says of it.
        inserted: the columns that an INSERT names.
        updated: the column that an UPDATE sets.
    """

    name: str
    rules: Table
    columns: tuple[Column, ...]
    inserted: tuple[Column, ...]
    updated: Column

    @property
    def shown(self) -> str:
        """Its name as a finding has it."""
        return self.name.replace('"', "")

    @property
    def owner(self) -> str:
        return quote_identifier(self.rules.owner_column)

    def values(self) -> str:
        """What an INSERT puts into `inserted`."""
        return ", ".join(column.sample for column in self.inserted)


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote(text: str) -> str:
    """A literal. Its text has no backslash."""
    return "'" + text.replace("'", "''") + "'"


async def read_targets(connection: asyncpg.Connection, access: Access, mark: str) -> tuple[list[Target], list[str]]:
    """The tables that can be probed, and the names of those that are not there or lack their owner column.

    Args:
        mark: a text that no row of the database holds; columns of text are filled with it.
    """
    found, missing = [], []
    for name, rules in access.tables.items():
        table = f"app.{quote_identifier(name)}"
        columns = tuple(_column(row, mark) for row in await connection.fetch(_COLUMNS, table))
        if rules.owner_column in {column.name for column in columns}:
            found.append(_target(table, rules, columns))
        else:
            missing.append(f"app.{name}")
    return found, missing


def _target(table: str, rules: Table, columns: tuple[Column, ...]) -> Target:
    others = [column for column in columns if column.name != rules.owner_column and not column.computed]
    grants = rules.access.values()
    inserted = {name for grant in grants for name in grant.insert} or {col.name for col in others if col.required}
    updated = {name for grant in grants for name in grant.update} or {column.name for column in others}
    return Target(
        table,
        rules,
        columns,
        inserted=tuple(column for column in others if column.name in inserted),
        updated=next((column for column in others if column.name in updated), columns[0]),
    )


def _column(row: asyncpg.Record, mark: str) -> Column:
    return Column(row["name"], _sample(row, mark), row["required"], row["computed"], row["in_key"])


def _sample(row: asyncpg.Record, mark: str) -> str:
    # A CHECK that lists what is allowed: its first value.
    if listed := re.search(r"= ANY \(\(?ARRAY\[('(?:[^']|'')*')", row["checks"] or ""):
        return listed[1]
    if row["kind"] == "e":
        return f"enum_first(NULL::{row['type']})"
    if row["category"] == "S":
        return quote(mark)
    return _BY_TYPE.get(row["type"]) or _BY_CATEGORY.get(row["category"], "NULL")
