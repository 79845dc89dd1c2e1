"""Brings a database to the newest schema, and gives the runtime role its password."""

import asyncio
import logging
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr
from scramp import ScramMechanism
from scramp.utils import b64enc
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.engine import create_migration_engine
from service.settings import MigrationSettings

log = logging.getLogger(__name__)

_RUNTIME_ROLE = "todo_api"


class MigrationError(Exception):
    """The database is as it was. Its text is one line, fit to be shown."""


def migrate(settings: MigrationSettings) -> None:
    """Apply migrations and policies, in one transaction; then set the password that DATABASE_URL names.

    Raises:
        SettingsError: when a URL cannot be understood.
        MigrationError: when the database refuses or is away. The migration has then changed nothing.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "db" / "migrations"))
    config.attributes["url"] = settings.migration_database_url
    try:
        command.upgrade(config, "head")
        if settings.database_url is not None:
            asyncio.run(_set_password(settings.migration_database_url, settings.database_url))
    except (SQLAlchemyError, asyncpg.PostgresError, CommandError, OSError, TimeoutError) as error:
        raise MigrationError(_in_one_line(error)) from error


def _in_one_line(error: BaseException) -> str:
    """What the server said, without the statement that it said it of."""
    driver = getattr(error, "orig", None) or error
    if driver.__cause__ is not None:
        driver = driver.__cause__
    said = [getattr(driver, "message", None) or str(driver) or type(driver).__name__, getattr(driver, "hint", None)]
    return " ".join(". ".join(filter(None, said)).split())


async def _set_password(migration_url: SecretStr, runtime_url: SecretStr) -> None:
    runtime = make_url(runtime_url.get_secret_value())
    if runtime.username != _RUNTIME_ROLE or not runtime.password:
        return
    engine = create_migration_engine(migration_url)
    try:
        async with engine.begin() as connection:
            if await _is_neon(connection):
                log.warning(
                    "Neon takes no hashed password. If todo_api has none yet, set it once in Neon's SQL editor: "
                    "ALTER ROLE todo_api PASSWORD '...'"
                )
            else:
                verifier = scram_verifier(runtime.password)
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
