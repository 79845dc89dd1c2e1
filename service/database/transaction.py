"""One request, one transaction, one caller. The only place that writes app.user_id.

A request of one statement makes three round trips: BEGIN with SET LOCAL, the statement, COMMIT.
See docs/decisions/0001-one-transaction-per-request.md.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Self

import asyncpg
from fastapi import Depends, Request
from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.database.errors import DatabaseUnavailable, OutcomeUnknown, translated
from service.identity.bearer import caller_of
from service.identity.caller import Caller

_READING = frozenset({"GET", "HEAD"})


class OneCallerConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that begins a transaction only for a caller, and forgets the caller as it does so.

    The first transaction of all is SQLAlchemy's own look at a new server: it reads, and has no caller.
    """

    __slots__ = ("_begin",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begin: str | None = "BEGIN READ ONLY"

    def next_transaction_is_for(self, caller: Caller, *, read_only: bool) -> None:
        """Say who the next transaction is for. It holds for that one alone."""
        self._begin = f"BEGIN READ {'ONLY' if read_only else 'WRITE'}; {_set_local(caller)}"

    def forget_caller(self) -> None:
        """Begin nothing more until somebody says who for."""
        self._begin = None

    def transaction(self, **_: object) -> "_Transaction":
        """Called by SQLAlchemy ahead of the first statement.

        Raises:
            LookupError: when nobody said who the transaction is for.
        """
        begin, self._begin = self._begin, None
        if begin is None:
            raise LookupError("no transaction without a caller")
        return _Transaction(self, begin)


def _set_local(caller: Caller) -> str:
    # SET LOCAL takes no bind parameter. A Caller holds neither ' nor \, and is quoted all the same.
    literal = caller.user_id.replace("'", "''")
    return f"SET LOCAL app.user_id = '{literal}'"


class _Transaction:
    """The transaction that SQLAlchemy's asyncpg dialect drives."""

    def __init__(self, connection: OneCallerConnection, begin: str) -> None:
        self._connection = connection
        self._begin = begin

    async def start(self) -> None:
        try:
            # Two statements, one message: without arguments, asyncpg sends a simple query.
            await self._connection.execute(self._begin)
        except BaseException:
            # Begun or not, and for whom, is unknown: nobody gets this connection any more.
            self._connection.terminate()
            raise

    async def commit(self) -> None:
        # COMMIT of a failed transaction succeeds, as a ROLLBACK.
        if await self._connection.execute("COMMIT") != "COMMIT":
            raise asyncpg.InFailedSQLTransactionError("the transaction was rolled back")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")


class Transaction:
    """A caller's transaction, which begins with its first statement.

    A request that is refused before has cost the database nothing.
    """

    def __init__(self, engine: AsyncEngine, caller: Caller, *, read_only: bool) -> None:
        self._engine = engine
        self._caller = caller
        self._read_only = read_only
        self._connection: AsyncConnection | None = None

    async def all(self, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Run a statement and give every row that it returns.

        Raises:
            Problem: DatabaseUnavailable and its like, as service/database/errors.py maps SQLSTATEs.
        """
        with translated():
            connection = self._connection or await self._connect()
            return (await connection.execute(statement, parameters)).all()

    async def one_or_none(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        """Run a statement and give the row that it returns, or None when there is none. Raises as `all`."""
        rows = await self.all(statement, parameters)
        return rows[0] if rows else None

    async def _connect(self) -> AsyncConnection:
        self._connection = await self._engine.connect()
        pooled: Any = self._connection.sync_connection
        driver: OneCallerConnection = pooled.connection.driver_connection
        driver.next_transaction_is_for(self._caller, read_only=self._read_only)
        return self._connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, raised: type[BaseException] | None, *_: object) -> None:
        if self._connection is None:
            return
        if raised is not None:
            # Rolls back, and sees to it that this ends even when the request is cancelled meanwhile.
            await self._connection.__aexit__(None, None, None)
            return
        try:
            await self._commit(self._connection)
        except BaseException:
            await self._connection.__aexit__(None, None, None)
            raise
        await self._connection.close()

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            with translated():
                await connection.commit()
        except DatabaseUnavailable:
            # Whether COMMIT arrived before the connection was lost, only Postgres knows.
            if connection.invalidated and not self._read_only:
                raise OutcomeUnknown from None
            raise


async def transaction(request: Request) -> AsyncIterator[Transaction]:
    """The transaction of a request: committed before the response starts, rolled back when anything is raised.

    GET and HEAD read only.

    Raises:
        LookupError: on a public path, which has no caller and so gets no transaction.
    """
    engine: AsyncEngine = request.app.state.engine
    async with Transaction(engine, caller_of(request), read_only=request.method in _READING) as begun:
        yield begun


# `function`: the commit comes before the response. The default would answer 201 and then commit.
CallersTransaction = Annotated[Transaction, Depends(transaction, scope="function")]
