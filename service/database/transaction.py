"""One request, one transaction, one caller.

A request of one statement makes three round trips: BEGIN with SET LOCAL, the statement, COMMIT.
See docs/decisions/0001-one-transaction-per-request.md.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Self

from fastapi import Depends, Request
from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.database.connection import OneCallerConnection
from service.database.errors import DatabaseUnavailable, OutcomeUnknown, translated
from service.identity.bearer import caller_of
from service.identity.caller import Caller

_READING = frozenset({"GET", "HEAD"})


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
            # Rolls back, and sees to it that this ends even when the request is cancelled meanwhile. A connection
            # that is lost by now has rolled back too: what was raised stands.
            with suppress(Exception):
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
