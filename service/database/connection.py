"""A connection that begins a transaction only for a caller. The only place that writes app.user_id."""

from typing import Any

import asyncpg

from service.identity.caller import Caller


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
