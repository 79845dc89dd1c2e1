"""Live probes: what roles can do, tried in a transaction that is rolled back, and judged by db/access.toml alone."""

# ruff: noqa: S608 - every name is quoted, and every value is invented

import secrets

import asyncpg

from audit.access import Access
from audit.finding import MIGRATE, CannotLook, Finding, Progress, in_words
from audit.probes.attempts import Attempts
from audit.probes.statements import NEVER_GRANTED, NEVER_SET, State, Users, new_row, prepared, statements, states
from audit.probes.tables import Target, quote, quote_identifier, read_targets

# Nobody is kept waiting: the rows that are locked are invented, and what would lock a table is never run.
_LIMITS = """
SET TRANSACTION READ WRITE;
SET LOCAL statement_timeout = '5s';
SET LOCAL lock_timeout = '1s';
SET LOCAL idle_in_transaction_session_timeout = '10s';
SET LOCAL row_security = on;
SET LOCAL search_path = pg_catalog, pg_temp;
"""

_REACHED = """
CREATE FUNCTION pg_temp.audit_reached() RETURNS boolean LANGUAGE plpgsql VOLATILE COST 1000 AS
  $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'assert_failure'; END $$;
GRANT EXECUTE ON FUNCTION pg_temp.audit_reached() TO PUBLIC;
"""


async def probe(
    connection: asyncpg.Connection, access: Access, progress: Progress = lambda _: None
) -> tuple[list[Finding], str]:
    """Try every cell of db/access.toml as its role, for two invented users.

    Args:
        connection: outside of a transaction, of a role that may SET ROLE todo_api, or grant itself that.
        progress: is told what is being done.

    Returns:
        What came out otherwise, and how much was tried: "1,234 probes".

    Raises:
        CannotLook: when the connected role may not take the roles of db/access.toml.
        asyncpg.PostgresError: when the connection dies, or something waits for longer than it may.
    """
    mark = f"audit-{secrets.token_hex(12)}"
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_LIMITS)
        return await _Probes(connection, access, mark).run(progress)
    finally:
        if not connection.is_closed():
            await transaction.rollback()
            # A prepared statement outlives the transaction.
            await connection.execute(_deallocate(mark))


def _deallocate(mark: str) -> str:
    loop = "FOR plan IN SELECT name FROM pg_prepared_statements WHERE starts_with(name, {}) LOOP"
    return (
        f"DO $$ DECLARE plan text; BEGIN {loop.format(quote(mark))} "
        "EXECUTE format('DEALLOCATE %I', plan); END LOOP; END $$"
    )


class _Probes:
    def __init__(self, connection: asyncpg.Connection, access: Access, mark: str) -> None:
        self.connection = connection
        self.access = access
        self.mark = mark
        self.users = Users(mark)
        self.attempts = Attempts(connection)
        self.found: list[Finding] = []
        self.left_out: list[str] = []

    async def run(self, progress: Progress) -> tuple[list[Finding], str]:
        roles = await self._roles()
        targets, missing = await read_targets(self.connection, self.access, self.mark)
        absent = "is not there, or lacks its owner column"
        self.found += [Finding("probe", name, absent, MIGRATE) for name in missing]
        await self.connection.execute(_REACHED)
        for target in targets:
            await self.connection.execute(self._prepare(target))
        # Once app.user_id was set, it is never again as if it had not been.
        if await self.connection.fetchval("SELECT current_setting('app.user_id', true) IS NULL"):
            await self.connection.execute("SAVEPOINT without_a_caller")
            await self._insert_as_connected(targets)
            await self._try_all(roles, targets, [NEVER_SET], progress)
            await self.connection.execute("ROLLBACK TO SAVEPOINT without_a_caller")
        else:
            self.left_out.append("app.user_id never set: this connection begins with one")
        for target in targets:
            await self._insert_by_the_front_door(target)
        await self._try_all(roles, targets, states(self.users), progress)
        for role in roles:
            for target in targets:
                await self._never_granted(role, target)
        done = [f"{self.attempts.made:,} probes", *self.left_out]
        return self.found + self.attempts.findings(), "; ".join(done)

    async def _roles(self) -> list[str]:
        """Those that can be taken, and one that nothing was ever granted to."""
        taken = [role for role in self.access.roles if await self._can_take(role)]
        if stranger := await self._stranger():
            taken.append(stranger)
        return taken

    async def _can_take(self, role: str) -> bool:
        # Before Postgres 16, whoever is a member may SET ROLE.
        may = "SET" if self.connection.get_server_version().major >= 16 else "MEMBER"
        sql = "SELECT session_user, pg_has_role(session_user, oid, $2) FROM pg_roles WHERE rolname = $1"
        row = await self.connection.fetchrow(sql, role, may)
        if row is None:
            self.found.append(Finding("probe", role, "does not exist", MIGRATE))
            return False
        user, can = row
        if can or await self._becomes_member(role):
            return True
        if any(role in table.access and table.access[role].rows == "own" for table in self.access.tables.values()):
            raise CannotLook(f"{user} may not SET ROLE {role}: write the URL of the role that migrates")
        self.left_out.append(f"not as {role}, since {user} may not SET ROLE {role}")
        return False

    async def _becomes_member(self, role: str) -> bool:
        """Until the rollback. Whoever made a role may grant it, and since Postgres 16 has not done so by making it."""
        grant = f"GRANT {quote_identifier(role)} TO CURRENT_USER"
        try:
            await self.connection.execute(f"SAVEPOINT member; {grant}; RELEASE SAVEPOINT member")
        except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidGrantOperationError):
            await self.connection.execute("ROLLBACK TO SAVEPOINT member")
            return False
        return True

    async def _stranger(self) -> str | None:
        name = self.mark.replace("-", "_")
        create = f"SAVEPOINT stranger; CREATE ROLE {name}"
        if not await self.connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            create += f"; GRANT {name} TO CURRENT_USER"
        try:
            await self.connection.execute(create)
        except asyncpg.InsufficientPrivilegeError:
            await self.connection.execute("ROLLBACK TO SAVEPOINT stranger")
            self.left_out.append("not as PUBLIC, since this role may not CREATE ROLE")
            return None
        self.attempts.names[name] = "PUBLIC"
        return name

    # --- rows to be after ---

    async def _insert_as_connected(self, targets: list[Target]) -> bool:
        rows = [self._row(target, user) for target in targets for user in (self.users.alice, self.users.bob)]
        return await self._made(f"SET LOCAL ROLE NONE; {'; '.join(rows)}")

    async def _insert_by_the_front_door(self, target: Target) -> None:
        for role, grants in target.rules.access.items():
            if grants.rows == "own" and grants.insert:
                insert = new_row(target)
                if await self._made(
                    "; ".join(f"{_as(role, user)}; {insert}" for user in (self.users.alice, self.users.bob))
                ):
                    return
        if not await self._insert_as_connected([target]):
            what = "has no row of an invented user: no role of db/access.toml, nor the connected one, can insert it"
            hint = in_words("Look at its constraints, and at the samples in audit/probes/tables.py.")
            self.found.append(Finding("probe", target.shown, what, hint))

    async def _made(self, sql: str) -> bool:
        """Whether it could be done. When not, it never began."""
        try:
            await self.connection.execute(f"SAVEPOINT made; {sql}; SET LOCAL ROLE NONE; RELEASE SAVEPOINT made")
        except asyncpg.PostgresError:
            await self.connection.execute("ROLLBACK TO SAVEPOINT made")
            return False
        return True

    def _row(self, target: Target, user: str) -> str:
        columns = [c for c in target.columns if c in target.inserted or (c.required and str(c) != target.owner)]
        names = ", ".join([target.owner, *map(str, columns)])
        return f"INSERT INTO {target.name} ({names}) VALUES ({', '.join([quote(user), *(c.sample for c in columns)])})"

    # --- what is tried ---

    def _plan(self, target: Target) -> str:
        # By number: a name of more than 63 bytes would be cut.
        return f"{self.mark} {list(self.access.tables.values()).index(target.rules)} "

    def _prepare(self, target: Target) -> str:
        statements = prepared(target).items()
        return "; ".join(f"PREPARE {quote_identifier(self._plan(target) + verb)} AS {sql}" for verb, sql in statements)

    async def _try_all(self, roles: list[str], targets: list[Target], states: list[State], progress: Progress) -> None:
        await self.connection.execute("SET LOCAL ROLE NONE; SAVEPOINT probe")
        for role in roles:
            for target in targets:
                for state in states:
                    progress(f"probes {self.attempts.made:,}")
                    before = "" if state.user_id is None else f"SET LOCAL app.user_id = {quote(state.user_id)}; "
                    before = f"SET LOCAL ROLE {quote_identifier(role)}; {before}"
                    for statement in statements(target, state, self.users, self._plan(target)):
                        grants = target.rules.access.get(role)
                        await self.attempts.make(before, role, target, state, statement, grants)
        await self.connection.execute("ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe")

    async def _never_granted(self, role: str, target: Target) -> None:
        grants = target.rules.access.get(role)
        owner = (
            "SELECT relowner = (SELECT oid FROM pg_roles WHERE rolname = $2) FROM pg_class WHERE oid = to_regclass($1)"
        )
        # What comes with owning a table cannot be taken away from a role that nobody logs in as.
        if grants is not None and grants.rows == "none" and await self.connection.fetchval(owner, target.name, role):
            return
        for privilege in NEVER_GRANTED:
            if privilege != "MAINTAIN" or self.connection.get_server_version().major >= 17:
                await self.attempts.ask(role, target, privilege)


def _as(role: str, user: str) -> str:
    return f"SET LOCAL ROLE {quote_identifier(role)}; SET LOCAL app.user_id = {quote(user)}"
