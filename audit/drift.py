"""Drift: what is in force, where it is not what db/policies/ says.

The files are applied to the database itself, in a transaction that is rolled back, and the catalogs from before and
after are compared. So nothing here reads SQL, and whatever Postgres prints in another way than it was written, or
implies where nothing was written, is not taken for a difference.

That takes the locks of a migration, ACCESS EXCLUSIVE on each table of schema `app`, until the rollback six round trips
later: requests wait for a hundredth of a second when whoever looks is beside the database, and for a tenth of one when
it is 15 ms away. A copy of the tables in a schema of its own would not need them, but the files name schema `app`, and
a file that was rewritten first would no longer be what is judged; a schema cannot be moved out of the way without the
same locks, nor a database be copied while somebody is connected to it.
"""

from pathlib import Path

import asyncpg

from audit.catalog import FACTS, Catalog, read_catalog
from audit.finding import MIGRATE, CannotLook, Explanation, Finding, Progress, in_words

POLICIES = Path(__file__).parents[1] / "db" / "policies"

# As in db/migrations/env.py, which the audit cannot import; tests/audit/test_drift.py compares them.
FOUNDATION = ("0000_roles.sql", "0010_identity.sql")
ADVISORY_LOCK = 7_046_913_200
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

# Requests queue behind whoever waits for a lock on their table. And it is shorter than deadlock_timeout, so that in a
# deadlock this gives way.
_BEGIN = f"""
SET LOCAL lock_timeout = '500ms';
SET LOCAL statement_timeout = '10s';
SET LOCAL row_security = off;
SET LOCAL search_path = '';  -- names are printed with their schema
SELECT pg_advisory_xact_lock({ADVISORY_LOCK});
"""  # a constant

# What has nothing to do with the files: somebody holds a lock, the database only reads, or it is going down.
_UNABLE = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
)


async def drift(connection: asyncpg.Connection, progress: Progress) -> tuple[list[Finding], str]:
    """Apply db/policies/, compare the catalogs, and roll back. It locks the tables for a moment, see above.

    Args:
        connection: of a role that may migrate, outside of any transaction.
        progress: is told what is being done.

    Returns:
        The findings, and what was compared, for `Report.done`.

    Raises:
        CannotLook: when the role may not migrate, or a table is locked for more than half a second.
    """
    progress("drift")
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_BEGIN)
        in_force = await read_catalog(connection)
        await _apply(connection)
        findings = _differences(in_force, await read_catalog(connection))
        compared = f"{len(in_force)} facts compared with db/policies/"
    except _UNABLE as error:
        raise CannotLook(
            f"db/policies/ cannot be compared with what is in force now: {error.message}: try again"
        ) from None
    except asyncpg.PostgresError as error:
        findings = [_inapplicable(error)]
        compared = "db/policies/ cannot be applied"
    finally:
        if not connection.is_closed():
            await transaction.rollback()
    return findings, compared


async def _apply(connection: asyncpg.Connection) -> None:
    """As db/migrations/env.py does it, where no migration is new."""
    roles, *foundation = [(POLICIES / name).read_text() for name in FOUNDATION]
    try:
        await connection.execute(roles)
    except asyncpg.InsufficientPrivilegeError as error:
        raise CannotLook(
            f"drift: this role may not apply db/policies/ ({error.message}): write the URL of the role that migrates"
        ) from None
    tables = [file.read_text() for file in sorted(POLICIES.glob("*.sql")) if file.name not in FOUNDATION]
    for sql in (*foundation, DROP_POLICIES, *tables):
        await connection.execute(sql)


def _inapplicable(error: asyncpg.PostgresError) -> Finding:
    """Whoever migrates is refused as well, and the files say by a hint what to do about it."""
    return Finding(
        "drift", "db/policies/", f"cannot be applied: {error.message}", in_words(error.hint) if error.hint else MIGRATE
    )


def _differences(in_force: Catalog, said: Catalog) -> list[Finding]:
    """One for each object that only one of them has, and for each thing about the others."""
    before, after = {of for of, _ in in_force}, {of for of, _ in said}
    found = [(of, "is in force where db/policies/ says nothing of it") for of in before - after]
    found += [(of, "is not in force where db/policies/ makes it") for of in after - before]
    for of, thing in in_force.keys() | said.keys():
        stands, should = in_force.get((of, thing)), said.get((of, thing))
        if of in before & after and stands != should:
            found.append((of, f"has in force {thing}: {_line(stands)} where db/policies/ says {_line(should)}"))
    return [Finding("drift", of, what, MIGRATE) for of, what in sorted(found)]


def _line(stands: str | None) -> str:
    return "nothing" if stands is None else " ".join(stands.split())


def explanation() -> Explanation:
    return Explanation(
        name="drift",
        what="what is in force where db/policies/ says otherwise, or nothing; and files that cannot be applied.",
        why="what was reviewed is then not what guards the rows: somebody changed the database by hand.",
        mend="todo-api migrate, in a shell, puts db/policies/ in force; or write into the files what is right.",
        how="db/policies/ is applied as a migration applies it, in a transaction that is rolled back.\n"
        f"Compared before and after: {', '.join(FACTS)}.",
    )
