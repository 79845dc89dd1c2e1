"""What is tried, and what db/access.toml says must come of it. Nothing here knows of policies."""

# ruff: noqa: S608 - every name is quoted, and every value is invented

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from audit.access import Grants
from audit.probes.tables import Column, Target, quote, quote_identifier

REFUSED = "was refused"
VIOLATED = "violated a constraint"
REACHED = "reached a row"

# What came of a statement: so many rows, or a word for why not.
Outcome = int | str
# A privilege as db/access.toml writes it, and the column that it is needed on; "*" stands for any column.
Need = tuple[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """What app.user_id is.

    Args:
        user_id: the setting; None when it was never set.
        odd: no service would set it, so that what it may write does not matter as long as it is its own.
    """

    name: str
    user_id: str | None
    odd: bool = False


NEVER_SET = State("never set", None)
_OTHERS = "the other's"

# Each passes row-level security by, so that no line of db/access.toml can grant it.
NEVER_GRANTED = ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")


@dataclass(frozen=True, slots=True)
class Users:
    """Invented. Which of two ids is the greater must not decide what is found: alice and bob are callers and victims.

    Args:
        mark: what no id in the database begins with.
    """

    mark: str

    @property
    def alice(self) -> str:
        return f"{self.mark}-alice"

    @property
    def bob(self) -> str:
        return f"{self.mark}-bob"

    @property
    def third(self) -> str:
        """Has no row anywhere."""
        return f"{self.mark}-third"


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to try.

    Args:
        form: which of the ways to write it.
        whose: the row that it is after, in words.
        needs: without which it must be refused.
        allowed: what may come of it when it has all that it needs.
        by: how it is sent: COPY and EXPLAIN give their counts otherwise.
    """

    command: str
    form: str
    whose: str
    sql: str
    needs: frozenset[Need]
    allowed: frozenset[Outcome]
    by: Literal["execute", "copy", "explain"] = "execute"


def expected(statement: Statement, grants: Grants | None) -> frozenset[Outcome]:
    """What may come of a statement.

    Args:
        grants: of the role on the table; None when db/access.toml does not name it there.
    """
    if grants is not None and grants.rows == "none":
        return frozenset({0, REFUSED})
    if grants is None or not all(_has(grants, *need) for need in statement.needs):
        return frozenset({REFUSED})
    return statement.allowed


def _has(grants: Grants, command: str, column: str) -> bool:
    if command == "delete":
        return grants.delete
    columns: tuple[str, ...] = getattr(grants, command)
    return bool(columns) if column == "*" else column in columns


def states(users: Users) -> list[State]:
    """What app.user_id is set to, in turn."""
    return [
        State("own", users.alice),
        State(_OTHERS, users.bob),
        State("a third user's", users.third),
        State("''", ""),
        State("very long", users.alice * 50, odd=True),
        State("not ASCII", f"{users.alice}\u00e9", odd=True),
        State("in the other case", users.alice.upper()),
        State("a pattern", f"{users.mark}%", odd=True),
    ]


def statements(target: Target, state: State, users: Users, plan: str) -> Iterator[Statement]:
    """All that is tried on a table while app.user_id is so.

    Args:
        plan: what the names of the prepared statements begin with.
    """
    yield from _on_rows(target, state, "its own", users.alice, plan)
    yield from _on_rows(target, state, _OTHERS, users.bob, plan)
    yield from _on_rows(target, state, "a missing", users.third, plan)
    yield from _new_rows(target, state, users.bob if state.user_id != users.bob else users.alice, plan)
    if state.name == "own":
        yield from _on_columns(target, users.alice, users.bob)
    elif state.name != _OTHERS:
        yield from _without_a_filter(target)


def prepared(target: Target) -> dict[str, str]:
    """What is prepared once and executed as every role and caller: a plan must not outlive either."""
    table, owner = target.name, target.owner
    return {
        "select": f"SELECT {owner} FROM {table} WHERE {owner} = $1",
        "insert": new_row(target),
        "update": f"UPDATE {table} SET {_set(target.updated)} WHERE {owner} = $1",
        "delete": f"DELETE FROM {table} WHERE {owner} = $1",
    }


def _on_rows(target: Target, state: State, whose: str, user_id: str, plan: str) -> Iterator[Statement]:
    """Every form of every command that is after the rows of one user.

    Args:
        whose: that user, in words.
        user_id: that user.
        plan: what the names of the prepared statements begin with.
    """
    reaches = whose != "a missing" and user_id == state.user_id
    for command, form, sql, needs in _forms(target, quote(user_id), plan):
        by: Literal["execute", "copy", "explain"] = "execute"
        if form == "COPY TO":
            by = "copy"
        elif form == "EXPLAIN ANALYZE":
            by = "explain"
        outcome: Outcome = REFUSED if form == "row_security off" else int(reaches)
        if command == "INSERT" and reaches and _conflicts(target):
            outcome = VIOLATED
        allowed = frozenset({outcome})
        yield Statement(command, form, f"{whose} row", sql, needs, allowed, by)
    yield _merge_insert(target, state, whose, user_id, reaches)


def _forms(target: Target, user: str, plan: str) -> Iterator[tuple[str, str, str, frozenset[Need]]]:
    table, owner = target.name, target.owner
    where = f"WHERE {owner} = {user}"
    named = f"(VALUES ({user})) AS named (id)"
    read = f"SELECT {owner} FROM {table} {where}"
    reads: frozenset[Need] = frozenset({("select", target.rules.owner_column)})
    locks = reads | {("update", "*")}
    update = f"UPDATE {table} SET {_set(target.updated)}"
    updates = reads | {("update", target.updated.name)}
    delete = f"DELETE FROM {table}"
    deletes = reads | {("delete", "*")}
    inserts = reads | _inserts(target)

    yield "SELECT", "plain", read, reads
    yield "SELECT", "subquery", f"SELECT FROM (SELECT {owner} AS id FROM {table}) AS s WHERE id = {user}", reads
    yield "SELECT", "EXISTS", f"SELECT WHERE EXISTS ({read})", reads
    yield "SELECT", "CTE", f"WITH s AS MATERIALIZED ({read}) SELECT FROM s", reads
    yield "SELECT", "join", f"SELECT FROM {named} JOIN {table} ON {owner} = named.id", reads
    yield "SELECT", "cursor", f"DECLARE audit CURSOR FOR {read}; FETCH ALL FROM audit", reads
    yield "SELECT", "prepared", f"EXECUTE {quote_identifier(plan + 'select')}({user})", reads
    yield "SELECT", "COPY TO", read, reads
    yield "SELECT", "EXPLAIN ANALYZE", read, reads
    yield "SELECT", "FOR UPDATE", f"{read} FOR UPDATE", locks
    yield "SELECT", "FOR KEY SHARE", f"{read} FOR KEY SHARE", locks
    yield "SELECT", "row_security off", f"SET LOCAL row_security = off; {read}", reads
    yield "INSERT", "INSERT ... SELECT", _insert(target, f"SELECT {target.values()} FROM {table} {where}"), inserts
    yield "UPDATE", "plain", f"{update} {where}", updates
    yield "UPDATE", "subquery", f"{update} WHERE {owner} IN ({read})", updates
    yield "UPDATE", "CTE", f"WITH s AS ({update} {where} RETURNING {owner}) SELECT FROM s", updates
    yield "UPDATE", "RETURNING", f"{update} {where} RETURNING {owner}", updates
    yield "UPDATE", "UPDATE ... FROM", f"{update} FROM {named} WHERE {owner} = named.id", updates
    yield "UPDATE", "prepared", f"EXECUTE {quote_identifier(plan + 'update')}({user})", updates
    yield "UPDATE", "EXPLAIN ANALYZE", f"{update} {where} RETURNING {owner}", updates
    yield "UPDATE", "MERGE", _merge(target, user, f"MATCHED THEN UPDATE SET {_set(target.updated)}"), updates
    yield "DELETE", "plain", f"{delete} {where}", deletes
    yield "DELETE", "subquery", f"{delete} WHERE {owner} IN ({read})", deletes
    yield "DELETE", "CTE", f"WITH s AS ({delete} {where} RETURNING {owner}) SELECT FROM s", deletes
    yield "DELETE", "RETURNING", f"{delete} {where} RETURNING {owner}", deletes
    yield "DELETE", "DELETE USING", f"{delete} USING {named} WHERE {owner} = named.id", deletes
    yield "DELETE", "prepared", f"EXECUTE {quote_identifier(plan + 'delete')}({user})", deletes
    yield "DELETE", "EXPLAIN ANALYZE", f"{delete} {where} RETURNING {owner}", deletes
    yield "DELETE", "MERGE", _merge(target, user, "MATCHED THEN DELETE"), deletes


def _merge_insert(target: Target, state: State, whose: str, user_id: str, reaches: bool) -> Statement:
    insert = f"INSERT ({_names(target.inserted)}) VALUES ({target.values()})"
    sql = _merge(target, quote(user_id), f"NOT MATCHED THEN {insert}")
    needs = _inserts(target) | {("select", target.rules.owner_column)}
    # One that has the mark already stands in its own way.
    stands = _conflicts(target) and state.name in ("own", _OTHERS)
    new: frozenset[Outcome] = frozenset({VIOLATED}) if stands else _new(state)
    return Statement("INSERT", "MERGE", f"{whose} row", sql, needs, frozenset({0}) if reaches else new)


def new_row(target: Target) -> str:
    """A row of the caller's, as plainly as it can be made."""
    return _insert(target, f"VALUES ({target.values()})")


def _new_rows(target: Target, state: State, other: str, plan: str) -> Iterator[Statement]:
    """Every form of INSERT.

    Args:
        other: another user, for whom a row is tried to be made.
    """
    owner, column = target.owner, target.rules.owner_column
    insert, needs, caller = new_row(target), _inserts(target), quote(state.user_id or "")
    both = needs | {("select", column)}
    allowed = _new(state)
    # The two users have a row of the same key each, where a key can be chosen.
    stands = _conflicts(target) and state.name in ("own", _OTHERS)
    plain = frozenset({VIOLATED}) if stands else allowed
    nothing = frozenset({0}) if stands else allowed

    def statement(form: str, sql: str, needs: frozenset[Need], allowed: frozenset[Outcome]) -> Statement:
        return Statement("INSERT", form, "a new row", sql, needs, allowed)

    yield statement("plain", insert, needs, plain)
    yield statement("RETURNING", f"{insert} RETURNING {owner}", both, plain)
    returned = f"WITH s AS ({insert} RETURNING {owner} AS id) SELECT FROM s WHERE id = {caller}"
    yield statement("CTE", returned, both, plain)
    yield statement("prepared", f"EXECUTE {quote_identifier(plan + 'insert')}", needs, plain)
    yield statement("ON CONFLICT DO NOTHING", f"{insert} ON CONFLICT DO NOTHING", needs, nothing)
    key = [column for column in target.columns if column.in_key]
    if key:
        upsert = f"{insert} ON CONFLICT ({_names(key)}) DO UPDATE SET {_set(target.updated)}"
        reads: frozenset[Need] = frozenset(("select", column.name) for column in key)
        needs_both = needs | reads | {("update", target.updated.name)}
        yield statement("ON CONFLICT DO UPDATE", upsert, needs_both, allowed)
    for whose, user in (("its own", state.user_id or ""), (_OTHERS, other)):
        sql = _insert_for(target, quote(user))
        mine = plain if user == state.user_id else frozenset({REFUSED})
        yield statement(f"as {whose}", sql, needs | {("insert", column)}, mine)


def _without_a_filter(target: Target) -> Iterator[Statement]:
    """What reads no column, so that policies for SELECT are not asked. For a caller without any row.

    `pg_temp.audit_reached` fails at the first row, before anything is locked.
    """
    table, any_row = target.name, "anybody's row"
    none: frozenset[Outcome] = frozenset({0})
    update = f"UPDATE {table} SET {_set(target.updated)} WHERE pg_temp.audit_reached()"
    yield Statement("SELECT", "no filter", any_row, f"SELECT FROM {table} LIMIT 1", frozenset({("select", "*")}), none)
    yield Statement("UPDATE", "no filter", any_row, update, frozenset({("update", target.updated.name)}), none)
    delete = f"DELETE FROM {table} WHERE pg_temp.audit_reached()"
    yield Statement("DELETE", "no filter", any_row, delete, frozenset({("delete", "*")}), none)


def _on_columns(target: Target, user_id: str, other: str) -> Iterator[Statement]:
    """Each column by itself, as the user whose row it is."""
    table, column = target.name, target.rules.owner_column
    where = f"WHERE {target.owner} = {quote(user_id)}"
    reads: Need = ("select", column)
    one: frozenset[Outcome] = frozenset({1})

    def statement(command: str, name: str, sql: str, needs: set[Need], allowed: frozenset[Outcome]) -> Statement:
        return Statement(command, f"column {name}", "its own row", sql, frozenset(needs), allowed)

    for name in ("ctid", "xmin", "tableoid", *map(str, target.columns)):
        plain = name.strip('"').replace('""', '"')
        yield statement("SELECT", plain, f"SELECT {name} FROM {table} {where}", {reads, ("select", plain)}, one)
    every: set[Need] = {("select", each.name) for each in target.columns}
    yield Statement("SELECT", "whole row", "its own row", f"SELECT s FROM {table} AS s {where}", frozenset(every), one)
    for each in target.columns:
        if each.computed or each.name == column:
            continue
        yield statement(
            "UPDATE", each.name, f"UPDATE {table} SET {_set(each)} {where}", {reads, ("update", each.name)}, one
        )
        if each not in target.inserted:
            names, values = _names((*target.inserted, each)), f"{target.values()}, {each.sample}"
            sql = f"INSERT INTO {table} ({names}) VALUES ({values})"
            allowed: frozenset[Outcome] = frozenset({1, VIOLATED})
            yield statement("INSERT", each.name, sql, {*_inserts(target), ("insert", each.name)}, allowed)
    for user, allowed in ((user_id, one), (other, frozenset({REFUSED}))):
        sql = f"UPDATE {table} SET {target.owner} = {quote(user)} {where}"
        yield statement("UPDATE", column, sql, {reads, ("update", column)}, allowed)


def _new(state: State) -> frozenset[Outcome]:
    if not state.user_id:
        return frozenset({REFUSED, VIOLATED})
    return frozenset({1, REFUSED, VIOLATED}) if state.odd else frozenset({1})


def _conflicts(target: Target) -> bool:
    names = {column.name for column in target.inserted}
    key = [column.name for column in target.columns if column.in_key and column.name != target.rules.owner_column]
    return bool(key) and names.issuperset(key)


def _inserts(target: Target) -> frozenset[Need]:
    return frozenset(("insert", column.name) for column in target.inserted)


def _insert(target: Target, rows: str) -> str:
    return f"INSERT INTO {target.name} ({_names(target.inserted)}) {rows}"


def _insert_for(target: Target, user: str) -> str:
    names = ", ".join([target.owner, *map(str, target.inserted)])
    return f"INSERT INTO {target.name} ({names}) VALUES ({', '.join([user, *(c.sample for c in target.inserted)])})"


def _merge(target: Target, user: str, then: str) -> str:
    return f"MERGE INTO {target.name} USING (VALUES ({user})) AS named (id) ON {target.owner} = named.id WHEN {then}"


def _set(column: Column) -> str:
    return f"{column} = {column.sample}"


def _names(columns: tuple[Column, ...] | list[Column]) -> str:
    return ", ".join(map(str, columns))
