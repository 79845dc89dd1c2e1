"""Brings a database to the newest schema, and gives the runtime role its password."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr
from scramp import ScramMechanism
from scramp.utils import b64enc
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.engine import create_migration_engine, parsed
from service.database.errors import in_one_line
from service.settings import MigrationSettings

log = logging.getLogger(__name__)

_RUNTIME_ROLE = "todo_api"


class MigrationError(Exception):
    """The database refused. Its text is one line, fit to be shown, that says how the database is now."""


def migrate(settings: MigrationSettings) -> None:
    """Apply migrations and policies, in one transaction; then set the password that DATABASE_URL names.

    Raises:
        SettingsError: when a URL cannot be understood.
        MigrationError: when the database refuses or is away.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "db" / "migrations"))
    config.attributes["url"] = settings.migration_database_url
    password = _runtime_password(settings)
    with _explained("the database is as it was"):
        command.upgrade(config, "head")
    if password:
        with _explained("the database is migrated, but todo_api has not got its password"):
            asyncio.run(_set_password(settings.migration_database_url, password))


@contextmanager
def _explained(state: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, asyncpg.PostgresError, CommandError, OSError, TimeoutError) as error:
        raise MigrationError(f"{in_one_line(error)} ({state})") from error


def _runtime_password(settings: MigrationSettings) -> str | None:
    """The password that DATABASE_URL gives to todo_api, if it does."""
    if settings.database_url is None:
        return None
    runtime = parsed(settings.database_url, "DATABASE_URL")
    return runtime.password if runtime.username == _RUNTIME_ROLE else None


async def _set_password(migration_url: SecretStr, password: str) -> None:
    engine = create_migration_engine(migration_url)
    try:
        async with engine.begin() as connection:
            if await _is_neon(connection):
                log.warning(
                    "Neon takes no hashed password. If todo_api has none yet, set it once in Neon's SQL editor: "
                    "ALTER ROLE todo_api PASSWORD '...'"
                )
            else:
                verifier = scram_verifier(password)
                await connection.exec_driver_sql(f"ALTER ROLE {_RUNTIME_ROLE} PASSWORD '{verifier}'")
    finally:
        await engine.dispose()


async def _is_neon(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(text("SELECT to_regrole('neon_superuser') IS NOT NULL")))


def scram_verifier(password: str) -> str:
    """What Postgres stores for a password, so that the password itself never reaches the server or its log.

    RFC 5803 in the form of Postgres's pg_authid.rolpassword.
    """
    salt, stored_key, server_key, iterations = ScramMechanism("SCRAM-SHA-256").make_auth_info(password)
    return f"SCRAM-SHA-256${iterations}:{b64enc(salt)}${b64enc(stored_key)}:{b64enc(server_key)}"
