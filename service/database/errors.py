"""What a failure of Postgres is to a client: SQLSTATE (Postgres manual, appendix A) to problem."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.http.problems import InvalidRequest, Problem

log = logging.getLogger(__name__)

_AWAY = (
    "08",  # connection exceptions
    "28",  # the password or role is refused
    "3D",  # the database does not exist
    "53",  # out of connections, memory or disk
    "57",  # shut down, cancelled, timed out
    "58",  # system error
)
_CONTENDED = ("40", "55P03")  # serialization failure or deadlock; lock timeout
# A prepared statement whose table a migration has changed since. The next one is prepared anew.
_STALE = AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError
_REFUSED_VALUE = ("22", "23514")  # data exception; check violation


class DatabaseUnavailable(Problem):
    """Problem
    └── DatabaseUnavailable  503, RFC 9110 §15.6.4
        ├── DatabaseBusy
        └── OutcomeUnknown
    """

    status = 503
    code = "database_unavailable"

    def __init__(self, detail: str = "The database cannot be reached. Nothing was changed; try again.") -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": "2"}


class DatabaseBusy(DatabaseUnavailable):
    code = "database_busy"

    def __init__(self) -> None:
        super().__init__("The database is busy with another change. Nothing was changed; try again.")


class OutcomeUnknown(DatabaseUnavailable):
    code = "outcome_unknown"

    def __init__(self) -> None:
        super().__init__("The connection was lost while the change was being saved. Read it before you try again.")


@contextmanager
def translated() -> Iterator[None]:
    """Raise a Problem in place of a failure of the database that a client can do something about.

    Any other is left as it is, and is a 500.
    """
    try:
        yield
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or sqlstate.startswith(_AWAY):
            log.warning("database unavailable: SQLSTATE %s", sqlstate or "none, the connection is lost")
            raise DatabaseUnavailable from None
        if sqlstate.startswith(_CONTENDED) or isinstance(error.orig, _STALE):
            raise DatabaseBusy from None
        if sqlstate.startswith(_REFUSED_VALUE):
            raise InvalidRequest("The database refuses one of the values.") from None
        raise
    except (OSError, TimeoutError, PoolTimeout, DisconnectionError) as error:
        log.warning("database unavailable: %s", type(error).__name__)
        raise DatabaseUnavailable from None


def in_one_line(error: BaseException) -> str:
    """What the server or the network said, without the statement that it said it of: fit for an operator."""
    driver = getattr(error, "orig", None) or error
    if driver.__cause__ is not None:
        driver = driver.__cause__
    said = [getattr(driver, "message", None) or str(driver) or type(driver).__name__, getattr(driver, "hint", None)]
    return " ".join(". ".join(filter(None, said)).split())
