"""Statements that are tried, each as if none had been before, and what came out otherwise."""

import json
from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg

from audit.access import Grants
from audit.finding import Finding, in_words
from audit.probes.statements import REACHED, REFUSED, VIOLATED, Outcome, State, Statement, expected
from audit.probes.tables import Target

# What these say is not about privileges: the connection, the server or a lock is in trouble.
_TROUBLE = ("08", "40", "53", "55", "57", "58", "XX")
_UNDO = "ROLLBACK TO SAVEPOINT probe; "


@dataclass(slots=True)
class _Where:
    states: dict[str, None] = field(default_factory=dict)
    forms: dict[str, None] = field(default_factory=dict)


class Attempts:
    """What was tried on a connection whose transaction has a savepoint `probe`.

    Args:
        made: how many attempts.
        names: what a role is called in a finding, where that is not its name.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.made = 0
        self.names: dict[str, str] = {}
        self._connection = connection
        # One fault shows in hundreds of attempts: those that say the same become one finding.
        self._otherwise: dict[tuple[str, str], _Where] = defaultdict(_Where)

    async def make(
        self, before: str, role: str, target: Target, state: State, statement: Statement, grants: Grants | None
    ) -> None:
        """Try a statement, and remember it when db/access.toml has another outcome.

        Args:
            before: sets the role and the caller.

        Raises:
            asyncpg.PostgresError: when the outcome could not be learnt.
        """
        self.made += 1
        outcome = await self._outcome(before, statement)
        allowed = expected(statement, grants)
        if outcome not in allowed:
            instead = " or ".join(sorted(_noun(each) for each in allowed))
            name = self.names.get(role, role)
            said = f"as {name}, {statement.command} of {statement.whose} {_verb(outcome)} instead of {instead}"
            where = self._otherwise[target.shown, said]
            where.states[state.name] = None
            where.forms[statement.form] = None

    async def ask(self, role: str, target: Target, privilege: str) -> None:
        """Remember a privilege that is there. It is not used: what it allows would lock the table."""
        self.made += 1
        sql = "SELECT has_table_privilege($1::name, $2, $3)"
        if privilege == "REFERENCES":
            sql += " OR has_any_column_privilege($1::name, $2, $3)"
        if await self._connection.fetchval(sql, role, target.name, privilege):
            said = f"can be used for {privilege} by {self.names.get(role, role)}, which passes row-level security by"
            self._otherwise[target.shown, said] = _Where()

    def findings(self) -> list[Finding]:
        """What came out otherwise, table by table, in the order in which it did."""
        return [
            Finding(
                "probe", table, said + _list("; app.user_id ", where.states) + _list("; ", where.forms), _mend(table)
            )
            for (table, said), where in sorted(self._otherwise.items(), key=lambda otherwise: otherwise[0][0])
        ]

    async def _outcome(self, before: str, statement: Statement) -> Outcome:
        try:
            return await self._count(_UNDO + before, statement)
        except asyncpg.PostgresError as error:
            return _why_not(error)

    async def _count(self, before: str, statement: Statement) -> int:
        if statement.by == "execute":
            # One message undoes the attempt before this one, and makes this one.
            status = await self._connection.execute(before + statement.sql)
            return _rows(status)
        await self._connection.execute(before.rstrip("; "))
        if statement.by == "copy":
            return _rows(await self._connection.copy_from_query(statement.sql, output=_discard))
        explain = f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) {statement.sql}"
        plan = json.loads(await self._connection.fetchval(explain))
        return int(plan[0]["Plan"]["Actual Rows"])


async def _discard(data: bytes) -> None:
    pass


def _rows(status: str) -> int:
    return int(status.rsplit(" ", 1)[-1])


def _why_not(error: asyncpg.PostgresError) -> Outcome:
    state = error.sqlstate or ""
    if state[:2] in _TROUBLE or state in ("", "42601"):
        raise error
    if state == "42501":
        return REFUSED
    if state == "P0004":
        return REACHED
    # Never the message: it may quote a row.
    return VIOLATED if state[:2] == "23" else f"failed with {type(error).__name__}"


def _verb(outcome: Outcome) -> str:
    return f"gave {_noun(outcome)}" if isinstance(outcome, int) else outcome


def _noun(outcome: Outcome) -> str:
    if isinstance(outcome, int):
        return ("no row", "1 row")[outcome] if outcome < 2 else f"{outcome} rows"
    return {REFUSED: "a refusal", VIOLATED: "a violated constraint"}[outcome]


def _list(before: str, names: dict[str, None], most: int = 4) -> str:
    shown = list(names)[:most]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{before}{', '.join(shown)}{more}" if names else ""


def _mend(table: str) -> str:
    # A probe sees what comes of a fault, and not the fault.
    return in_words(
        "Mend what was found before this. If this is still found: todo-api migrate, in a shell, "
        f"and then compare \\dp {table} with db/policies/."
    )
