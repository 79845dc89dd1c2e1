"""Connections to Postgres: URLs as Neon and libpq write them, TLS, the pool."""

import ssl
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr
from sqlalchemy import event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from service.database.connection import OneCallerConnection
from service.settings import SettingsError

# Together below the five seconds in which a client is told that the database is away.
_CONNECT_SECONDS = 2.5
_POOL_WAIT_SECONDS = 2.0
# For a connection that falls silent. Postgres itself ends a statement after five seconds: db/policies/0000_roles.sql.
_COMMAND_SECONDS = 8.0


def create_engine(url: SecretStr, *, pool_size: int) -> AsyncEngine:
    """The engine that serves requests.

    Args:
        url: a libpq URL of the runtime role. A Neon URL works as it is copied; `sslmode=require`, which
            checks no certificate in libpq, means verify-full here.
        pool_size: the most connections that are ever open.

    Raises:
        SettingsError: when the URL cannot be understood.
    """
    sqlalchemy_url, connect_args = _asyncpg_arguments(url, "DATABASE_URL")
    engine = create_async_engine(
        sqlalchemy_url,
        connect_args={**connect_args, "connection_class": OneCallerConnection, "command_timeout": _COMMAND_SECONDS},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        # Errors go to the log, and parameters are people's data.
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkout", _on_checkout)
    return engine


def create_migration_engine(url: SecretStr) -> AsyncEngine:
    """An engine for one connection of the role that migrates, or that looks around: no pool, no caller.

    Raises:
        SettingsError: when the URL cannot be understood.
    """
    sqlalchemy_url, connect_args = _asyncpg_arguments(url, "MIGRATION_DATABASE_URL")
    return create_async_engine(sqlalchemy_url, connect_args=connect_args, poolclass=NullPool, hide_parameters=True)


def _on_checkout(dbapi_connection: Any, *_: object) -> None:
    """Have the pool replace a connection that died idle, or that came back inside a transaction.

    asyncpg knows both without a round trip, which is what pool_pre_ping would cost.
    """
    driver: OneCallerConnection = dbapi_connection.driver_connection
    if driver.is_closed() or driver.is_in_transaction():
        raise DisconnectionError
    driver.forget_caller()


def parsed(secret: SecretStr, setting: str) -> URL:
    """The parts of a URL.

    Raises:
        SettingsError: which names the setting, when it is none.
    """
    try:
        return make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):
        raise SettingsError(f"{setting}: write postgresql://ROLE:PASSWORD@HOST/DATABASE") from None


def _asyncpg_arguments(secret: SecretStr, setting: str) -> tuple[URL, dict[str, Any]]:
    url = parsed(secret, setting)
    query = {name: str(value) for name, value in url.query.items()}
    # asyncpg knows no channel binding. With a verified certificate, nobody is in between to bind against.
    query.pop("channel_binding", None)
    host = query.pop("host", None) or url.host or ""
    tls = _tls(setting, host, query.pop("sslmode", None), query.pop("sslrootcert", None))
    application_name = query.pop("application_name", "todo-api")
    if query:
        raise SettingsError(f"{setting}: parameter {', '.join(sorted(query))} is not understood: leave it out")
    return url.set(drivername="postgresql+asyncpg", query={}, host=unquote(host)), {
        "ssl": tls,
        "timeout": _CONNECT_SECONDS,
        "server_settings": {"application_name": application_name},
    }


def _tls(setting: str, host: str, sslmode: str | None, sslrootcert: str | None) -> ssl.SSLContext | bool:
    """Verified TLS, unless the server is on this machine or the URL says `sslmode=disable`."""
    local = host.startswith("/") or host in ("", "localhost", "127.0.0.1", "::1")
    if sslmode == "disable" or (sslmode is None and local):
        return False
    if sslmode not in (None, "require", "verify-full"):
        raise SettingsError(f"{setting}: sslmode={sslmode} checks too little: write sslmode=verify-full")
    try:
        return ssl.create_default_context(cafile=None if sslrootcert in (None, "system") else sslrootcert)
    except OSError:
        raise SettingsError(f"{setting}: sslrootcert={sslrootcert} cannot be read") from None
