"""Brings a database to the newest schema: roles, tables, then policies, in one transaction.

`alembic upgrade head` (or `todo-api migrate`) applies db/policies/ as well, also when no migration is
new, so that the files are what is in force. With --sql everything is printed instead of run.
"""

import asyncio
from pathlib import Path

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection

from service.database.engine import create_migration_engine
from service.settings import MigrationSettings, SettingsError
from service.tasks import models

POLICIES = Path(__file__).parents[1] / "policies"

# A table's owner and its owner_id default need these two first; every later file is about one table.
FOUNDATION = ("0000_roles.sql", "0010_identity.sql")

# What no file says is not in force either: a policy that was renamed or made by hand.
DROP_POLICIES = """
DO $$
DECLARE
  policy record;
BEGIN
  FOR policy IN SELECT polname, polrelid::regclass AS relation FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
                 WHERE relnamespace = 'app'::regnamespace
                 ORDER BY relname  -- idempotency_keys, then tasks, as requests lock them: else both would deadlock
  LOOP
    EXECUTE format('DROP POLICY %I ON %s', policy.polname, policy.relation);
  END LOOP;
END
$$;
"""

# An arbitrary number that all migrations of this product agree on.
ADVISORY_LOCK = 7_046_913_200


def settle(sql: str) -> None:
    """Run, or with --sql print, statements exactly as they stand."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(sql)
    else:
        connection = context.get_bind()
        connection.connection.run_async(lambda driver: driver.execute(sql))


def begin() -> None:
    """One migration at a time, which fails fast on locks and never silently skips rows that RLS hides."""
    context.execute("SET LOCAL statement_timeout = '10min'")
    context.execute(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
    context.execute("SET LOCAL lock_timeout = '2s'")
    context.execute("SET LOCAL row_security = off")


def goes_to_head() -> bool:
    """Whether the command ends at the newest revision. `current`, `check` and `revision` end nowhere."""
    try:
        destination = context.get_revision_argument()
    except KeyError:
        return False
    head = context.get_head_revision()
    return destination in (head, (head,))


def refuse_halfway(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:
    """Policies describe the newest tables, so an upgrade that stops before them would leave some open."""
    if step.is_upgrade and not step.is_stamp and not goes_to_head():
        raise CommandError("db/policies/ describes the newest schema: run `alembic upgrade head`.")


def migrate() -> None:
    with context.begin_transaction():
        begin()
        if goes_to_head():
            for name in FOUNDATION:
                settle((POLICIES / name).read_text())
        context.run_migrations()
        if goes_to_head():
            settle(DROP_POLICIES)
            for file in sorted(POLICIES.glob("*.sql")):
                if file.name not in FOUNDATION:
                    settle(file.read_text())


def configure(**where: object) -> None:
    context.configure(
        target_metadata=models.Task.metadata,
        version_table_schema="alembic",
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == "app",
        compare_type=True,
        compare_server_default=True,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        on_version_apply=refuse_halfway,
        **where,  # type: ignore[arg-type]  # either a connection or what --sql needs
    )


def migrate_on(connection: Connection) -> None:
    configure(connection=connection)
    migrate()


def _url_of_the_environment() -> SecretStr:
    try:
        return MigrationSettings.load().migration_database_url
    except SettingsError as error:
        raise CommandError(str(error)) from None


async def online() -> None:
    url = context.config.attributes.get("url") or _url_of_the_environment()
    engine = create_migration_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate_on)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    configure(dialect_name="postgresql", literal_binds=True)
    migrate()
else:
    asyncio.run(online())
