"""db/migrations/ and db/policies/ make one and the same database, whichever way they are run."""

import asyncio
import io
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError

from service.database.engine import create_migration_engine
from service.database.migrate import migrate, scram_verifier
from service.settings import MigrationSettings
from service.tasks.models import Task
from tests.conftest import Database, in_database, run_sql
from tests.database.catalog import catalog
from tests.wire import Wire

pytestmark = pytest.mark.usefixtures("roles_to_itself")

ROOT = Path(__file__).parents[2]
Clone = Callable[[], Database]


async def clone(make_database: Clone) -> Database:
    return await asyncio.to_thread(make_database)


async def blank(make_database: Clone) -> Database:
    """A database of its own in which nothing was migrated."""
    database = await clone(make_database)
    await run_sql(database.superuser_url, "DROP SCHEMA app CASCADE", "DROP SCHEMA alembic CASCADE")
    return database


async def plain_alembic(database: Database, *arguments: str) -> tuple[int | None, str]:
    """The command as anybody runs it, with what pyproject.toml tells it."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("alembic"),
        *arguments,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "MIGRATION_DATABASE_URL": database.superuser_url},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


async def alembic(database: Database, command: Callable[..., object], *arguments: str, **options: bool) -> str:
    """The same within this process, which is faster. Gives what it printed."""
    printed = io.StringIO()
    config = Config(toml_file=ROOT / "pyproject.toml", stdout=printed, output_buffer=printed)
    config.attributes["url"] = SecretStr(database.superuser_url)
    await asyncio.to_thread(command, config, *arguments, **options)
    return printed.getvalue()


async def upgrade(database: Database) -> None:
    await alembic(database, command.upgrade, "head")


async def differences(url: str, metadata: MetaData) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == "app",
                "compare_type": True,
                "compare_server_default": True,
                "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
            },
        )
        found: list[Any] = compare_metadata(context, metadata)
        return found

    engine = create_migration_engine(SecretStr(url))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def test_models_and_migrations_describe_one_table(database: Database) -> None:
    assert await differences(database.superuser_url, Task.metadata) == []
    await alembic(database, command.check)


async def test_models_make_the_same_columns_constraints_and_indexes(database: Database, make_database: Clone) -> None:
    """Alembic compares checks and defaults by name only; Postgres prints them in one form."""
    other = await clone(make_database)
    await run_sql(other.superuser_url, "DROP TABLE app.tasks")
    engine = create_migration_engine(SecretStr(other.superuser_url))
    async with engine.begin() as connection:
        await connection.run_sync(Task.metadata.create_all)
    await engine.dispose()
    migrated, modelled = await catalog(database.superuser_url), await catalog(other.superuser_url)
    for kind in ("columns", "constraints", "indexes"):
        assert modelled[kind] == migrated[kind]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE app.tasks ALTER title TYPE varchar(255)",
        "ALTER TABLE app.tasks ALTER title DROP NOT NULL",
        "ALTER TABLE app.tasks ALTER description SET NOT NULL",
        "ALTER TABLE app.tasks ALTER status SET DEFAULT 'Done'",
        "ALTER TABLE app.tasks ALTER owner_id DROP DEFAULT",
        "ALTER TABLE app.tasks ALTER created_at TYPE timestamp",
        "ALTER TABLE app.tasks ADD COLUMN due timestamptz",
        "ALTER TABLE app.tasks DROP COLUMN description",
        "ALTER TABLE app.tasks DROP CONSTRAINT tasks_status_check",
        "ALTER TABLE app.tasks ADD CONSTRAINT extra CHECK (title <> 'x')",
        "CREATE INDEX extra ON app.tasks (owner_id, title)",
    ],
)
async def test_a_changed_table_is_noticed(make_database: Clone, change: str) -> None:
    changed = await clone(make_database)
    await run_sql(changed.superuser_url, change)
    assert await differences(changed.superuser_url, Task.metadata) != []


def _set_type(table: sa.Table) -> None:
    table.c.title.type = sa.String(255)


def _set_default(table: sa.Table) -> None:
    table.c.status.server_default = sa.DefaultClause(sa.text("'Done'"))


def _set_nullable(table: sa.Table) -> None:
    table.c.description.nullable = False


def _add_column(table: sa.Table) -> None:
    table.append_column(sa.Column("due", sa.DateTime(timezone=True)))


def _add_check(table: sa.Table) -> None:
    table.append_constraint(sa.CheckConstraint("title <> 'x'", name="extra"))


def _add_index(table: sa.Table) -> None:
    sa.Index("extra", table.c.owner_id, table.c.title)


@pytest.mark.parametrize("change", [_set_type, _set_default, _set_nullable, _add_column, _add_check, _add_index])
async def test_a_changed_model_is_noticed(database: Database, change: Callable[[sa.Table], None]) -> None:
    metadata = MetaData()
    table: Any = Task.__table__  # type: ignore[attr-defined]  # SQLModel gives it to table models
    change(table.to_metadata(metadata))
    assert await differences(database.superuser_url, metadata) != []


async def test_down_to_base_and_up_again_ends_in_the_same_catalog(database: Database, make_database: Clone) -> None:
    there_and_back = await clone(make_database)
    await alembic(there_and_back, command.downgrade, "base")
    assert (await catalog(there_and_back.superuser_url))["columns"] == []
    await upgrade(there_and_back)
    assert await catalog(there_and_back.superuser_url) == await catalog(database.superuser_url)


async def test_plain_alembic_makes_a_blank_database_whole(database: Database, make_database: Clone) -> None:
    fresh = await blank(make_database)
    assert await plain_alembic(fresh, "upgrade", "head") == (0, "")
    assert await catalog(fresh.superuser_url) == await catalog(database.superuser_url)


async def test_applying_policies_again_changes_nothing_but_mends(make_database: Clone) -> None:
    again = await clone(make_database)
    before = await catalog(again.superuser_url)
    await upgrade(again)
    assert await catalog(again.superuser_url) == before
    await run_sql(
        again.superuser_url,
        "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY wall ON app.tasks",
        "CREATE POLICY forgotten ON app.tasks USING (true)",
        "GRANT ALL ON app.tasks, app.idempotency_keys TO todo_api, PUBLIC",
        "GRANT EXECUTE ON FUNCTION app.current_user_id(), app.uuidv7() TO PUBLIC",
        "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql RETURN 'alice'::text",
    )
    await alembic(again, command.upgrade, "heads")
    assert await catalog(again.superuser_url) == before


async def test_the_printed_sql_does_the_same(database: Database, make_database: Clone) -> None:
    fresh = await blank(make_database)
    await run_sql(fresh.superuser_url, await alembic(fresh, command.upgrade, "head", sql=True))
    assert await catalog(fresh.superuser_url) == await catalog(database.superuser_url)


@pytest.mark.parametrize("look", [command.current, command.check, command.history, command.heads])
async def test_looking_changes_nothing(make_database: Clone, look: Callable[..., object]) -> None:
    spoilt = await clone(make_database)
    await run_sql(spoilt.superuser_url, "DROP POLICY door ON app.tasks")
    before = await catalog(spoilt.superuser_url)
    await alembic(spoilt, look)
    assert await catalog(spoilt.superuser_url) == before


async def test_a_migration_that_fails_leaves_nothing(make_database: Clone) -> None:
    fresh = await blank(make_database)
    await run_sql(
        fresh.superuser_url,
        "CREATE SCHEMA app AUTHORIZATION todo_owner",
        "CREATE FUNCTION app.uuidv7() RETURNS int RETURN 1",
    )
    before = await catalog(fresh.superuser_url)
    with pytest.raises(DBAPIError, match="already exists"):
        await upgrade(fresh)
    assert await catalog(fresh.superuser_url) == before


async def test_two_migrations_at_once_wait_for_each_other(database: Database, make_database: Clone) -> None:
    fresh = await blank(make_database)
    both = await asyncio.gather(*(plain_alembic(fresh, "upgrade", "head") for _ in range(2)))
    assert both == [(0, ""), (0, "")]
    assert await catalog(fresh.superuser_url) == await catalog(database.superuser_url)


async def test_a_migration_gives_up_on_a_lock_instead_of_blocking_everybody(make_database: Clone) -> None:
    busy = await clone(make_database)
    admin = await busy.as_superuser()
    async with admin.transaction():
        await admin.execute("SELECT count(*) FROM app.tasks")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await upgrade(busy)
    await admin.close()


async def test_a_data_migration_that_rls_would_hide_rows_from_fails_loudly(make_database: Clone) -> None:
    """env.py sets row_security off, so that the owner's UPDATE of all rows cannot quietly be one of none."""
    spoilt = await clone(make_database)
    await run_sql(
        spoilt.superuser_url,
        "CREATE FUNCTION public.touch() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN UPDATE app.tasks SET title = 'x'; END $$",
        "CREATE EVENT TRIGGER touch ON ddl_command_end WHEN tag IN ('CREATE POLICY') EXECUTE FUNCTION public.touch()",
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="would be affected by row-level security"):
        await upgrade(spoilt)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("CREATE ROLE some_group; GRANT some_group TO todo_api", "role todo_api is a member of some_group"),
        ("CREATE ROLE some_group; GRANT some_group TO todo_owner", "role todo_owner is a member of some_group"),
        ("ALTER ROLE todo_owner LOGIN", "role todo_owner can log in"),
        ("ALTER ROLE todo_api BYPASSRLS", "role todo_api is a superuser, bypasses RLS"),
        ("ALTER ROLE todo_api CREATEDB", "creates roles or databases"),
    ],
)
async def test_a_role_that_could_do_too_much_is_not_taken_over(database: Database, spoil: str, said: str) -> None:
    """In a transaction that is rolled back, since every other test relies on these roles."""
    admin = await database.as_superuser()
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute(spoil)
    with pytest.raises(asyncpg.RaiseError, match=said):
        await admin.execute((ROOT / "db" / "policies" / "0000_roles.sql").read_text())
    await transaction.rollback()
    await admin.close()


async def test_a_database_of_another_encoding_is_refused(database: Database, make_database: Clone) -> None:
    name = f"{database.name}_latin"
    await run_sql(database.superuser_url, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = Database(name, in_database(database.superuser_url, name), in_database(database.api_url, name))
    try:
        with pytest.raises(DBAPIError, match="not in UTF8"):
            await upgrade(latin)
    finally:
        await run_sql(database.superuser_url, f"DROP DATABASE {name}")


async def test_an_upgrade_stops_at_the_head_or_not_at_all(make_database: Clone) -> None:
    base = await clone(make_database)
    await alembic(base, command.downgrade, "base")
    before = await catalog(base.superuser_url)
    with pytest.raises(CommandError, match="alembic upgrade head"):
        await alembic(base, command.upgrade, "+1")
    assert await catalog(base.superuser_url) == before


async def test_a_migrator_need_not_be_a_superuser(database: Database, make_database: Clone) -> None:
    """As on Neon, whose owner role may create roles but is none."""
    fresh = await blank(make_database)
    name, password = f"migrator_{secrets.token_hex(4)}", secrets.token_hex(16)
    await run_sql(
        fresh.superuser_url,
        f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'",
        f"GRANT CREATE ON DATABASE {fresh.name} TO {name}",
        # From 16 on, whoever creates a role can grant it, and no more: neither inherit from it nor become it.
        f"""
        DO $$ BEGIN
          IF current_setting('server_version_num')::int >= 160000 THEN
            EXECUTE 'GRANT todo_owner, todo_api TO {name} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE';
          END IF;
        END $$
        """,
    )
    url = in_database(fresh.superuser_url, fresh.name, username=name, password=password)
    try:
        await upgrade(Database(fresh.name, url, fresh.api_url))
        made, expected = await catalog(fresh.superuser_url), await catalog(database.superuser_url)
        assert {**made, "memberships": []} == {**expected, "memberships": []}
    finally:
        await run_sql(fresh.superuser_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def test_the_runtime_password_is_set_and_never_sent(server: dict[str, str], database: Database) -> None:
    password = server["password"]
    async with Wire(database.superuser_url) as wire:
        await asyncio.to_thread(
            migrate,
            MigrationSettings(
                migration_database_url=SecretStr(wire.url),
                database_url=SecretStr(in_database(database.api_url, database.name)),
            ),
        )
        assert b"ALTER ROLE todo_api PASSWORD 'SCRAM-SHA-256$" in wire.sent
        assert password.encode() not in wire.sent
    admin = await database.as_superuser()
    stored = await admin.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'todo_api'")
    await admin.close()
    assert stored.startswith("SCRAM-SHA-256$")
    await (await database.as_api()).close()


async def test_postgres_takes_our_verifier_for_the_password(database: Database) -> None:
    """With any characters, since Postgres prepares a password (RFC 4013) before it hashes it."""
    role, password = f"scram_{secrets.token_hex(4)}", "pä$$'\\wörd ☃"
    await run_sql(database.superuser_url, f"CREATE ROLE {role} LOGIN PASSWORD '{scram_verifier(password)}'")
    try:
        connection = await asyncpg.connect(database.superuser_url, user=role, password=password)
        await connection.close()
    finally:
        await run_sql(database.superuser_url, f"DROP ROLE {role}")
