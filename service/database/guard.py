"""Refuses to serve with a role or a schema that would let row-level security be passed by."""

import asyncio
import logging
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.errors import DatabaseUnavailable, in_one_line

log = logging.getLogger(__name__)

# Each row is a fault: whether it is the role's, what is wrong, and the statement or step that mends it.
_FAULTS = text(r"""
-- The role, and what it was before a SET ROLE, which SET ROLE NONE undoes.
WITH me AS (
  SELECT oid, rolname, rolsuper, rolbypassrls, rolcreaterole, rolreplication
    FROM pg_catalog.pg_roles WHERE rolname IN (current_user, session_user)
),
owned (what, owner) AS (
  SELECT 'schema app', nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'app'
  UNION ALL
  SELECT 'relation ' || oid::regclass, relowner FROM pg_catalog.pg_class
   WHERE relnamespace = to_regnamespace('app')
  UNION ALL
  SELECT 'function ' || oid::regprocedure, proowner FROM pg_catalog.pg_proc
   WHERE pronamespace = to_regnamespace('app')
),
tables AS (
  SELECT oid, relname, oid::regclass::text AS name, relrowsecurity, relforcerowsecurity
    FROM pg_catalog.pg_class
   WHERE relnamespace = to_regnamespace('app') AND relkind IN ('r', 'p', 'f', 'm')
)
SELECT true, format('role %I is a superuser', rolname),
       format('ALTER ROLE %I NOSUPERUSER', rolname)
  FROM me WHERE rolsuper
UNION ALL
SELECT true, format('role %I bypasses RLS', rolname),
       format('ALTER ROLE %I NOBYPASSRLS', rolname)
  FROM me WHERE rolbypassrls
UNION ALL
SELECT true, format('role %I may create roles, and so become another', rolname),
       format('ALTER ROLE %I NOCREATEROLE', rolname)
  FROM me WHERE rolcreaterole
UNION ALL
SELECT true, format('role %I may replicate, which shows every row', rolname),
       format('ALTER ROLE %I NOREPLICATION', rolname)
  FROM me WHERE rolreplication
UNION ALL
SELECT true, format('role %I is a member of %I', me.rolname, other.rolname),
       format('REVOKE %I FROM %I', other.rolname, me.rolname)
  FROM me, pg_catalog.pg_roles other
 WHERE other.oid <> me.oid AND other.rolname <> 'todo_api' AND NOT me.rolsuper
   AND other.oid NOT IN (SELECT owner FROM owned) AND pg_has_role(me.oid, other.oid, 'MEMBER')
UNION ALL
SELECT true, format('role %I owns %s', me.rolname, owned.what), 'serve as todo_api, which owns nothing'
  FROM me JOIN owned ON owned.owner = me.oid
UNION ALL
SELECT true,
       format('role %I can become %I, the owner of %s', me.rolname, pg_get_userbyid(owned.owner), min(owned.what)),
       format('REVOKE %I FROM %I', pg_get_userbyid(owned.owner), me.rolname)
  FROM me JOIN owned ON owned.owner <> me.oid AND NOT me.rolsuper AND pg_has_role(me.oid, owned.owner, 'MEMBER')
 GROUP BY me.rolname, owned.owner
UNION ALL
SELECT true, format('role %I finds operators by a search_path, where others may make some', current_user),
       format('ALTER ROLE %I SET search_path = %L', current_user, '')
 WHERE current_setting('search_path') <> '""'
UNION ALL
SELECT false, format('table app.%s does not exist', needed), 'todo-api migrate'
  FROM (VALUES ('tasks'), ('idempotency_keys')) AS needed (needed)
 WHERE needed NOT IN (SELECT relname FROM tables)
UNION ALL
SELECT false, 'collation app.unicode does not exist', 'todo-api migrate'
 WHERE NOT EXISTS (
   SELECT FROM pg_catalog.pg_collation WHERE collname = 'unicode' AND collnamespace = to_regnamespace('app'))
UNION ALL
SELECT false, 'function app.current_user_id() is not the one of db/policies/0010_identity.sql', 'todo-api migrate'
 WHERE NOT EXISTS (
   SELECT FROM pg_catalog.pg_proc
    WHERE pronamespace = to_regnamespace('app') AND proname = 'current_user_id' AND pronargs = 0
      AND NOT prosecdef AND provolatile = 's'
      AND pg_get_function_sqlbody(oid) = :identity
      -- NULLIF is printed without its operator. What is Postgres's own is in no row of pg_depend.
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend
         WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = pg_proc.oid
           AND refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)))
UNION ALL
SELECT false, format('table %s has no row-level security', name),
       format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name)
  FROM tables WHERE NOT relrowsecurity
UNION ALL
SELECT false, format('table %s does not force row-level security', name),
       format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name)
  FROM tables WHERE NOT relforcerowsecurity
UNION ALL
SELECT false, format('table %s lacks its wall', name), 'todo-api migrate, which applies db/policies/ again'
  FROM tables
 WHERE NOT EXISTS (
   SELECT FROM pg_catalog.pg_policy
    WHERE polrelid = tables.oid AND NOT polpermissive AND polcmd = '*' AND polroles = '{0}'
      AND pg_get_expr(polqual, polrelid) = :wall AND pg_get_expr(polwithcheck, polrelid) = :wall)
""")

# As Postgres prints `owner_id = (SELECT app.current_user_id())`.
_WALL = "(owner_id = ( SELECT app.current_user_id() AS current_user_id))"
_IDENTITY = "RETURN NULLIF(current_setting('app.user_id'::text, true), ''::text)"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that would let a caller see another's rows, and what mends it."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}. Mend: {self.mend}"


class GuardError(Exception):
    """Serving now would not keep users apart. Its text is one line for each fault, fit to be shown."""


async def require_no_faults(engine: AsyncEngine) -> None:
    """Let a service start, or not.

    Raises:
        GuardError: when there is a fault, or when the database cannot be looked at.
    """
    try:
        faults = await find_faults(engine)
    except (SQLAlchemyError, OSError, TimeoutError, ValueError, OverflowError) as error:
        raise GuardError(
            f"the database cannot be looked at: {in_one_line(error)}. Mend: start it, or correct DATABASE_URL"
        ) from None
    if faults:
        raise GuardError("\n".join(map(str, faults)))


async def find_faults(engine: AsyncEngine) -> list[Fault]:
    """Look at the connected role and at schema `app`, outside any transaction.

    Raises:
        sqlalchemy.exc.SQLAlchemyError, OSError, TimeoutError: when the database cannot be looked at.
    """
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        role = await connection.scalar(text("SELECT current_user"))
        faults = await connection.execute(_FAULTS, {"wall": _WALL, "identity": _IDENTITY})
    # Any other role may be right as it is, an administrator's for example, and only wrong here.
    mend_role = role == "todo_api"
    return [
        Fault(what, mend if mend_role or not of_role else "serve as todo_api: put its URL into DATABASE_URL")
        for of_role, what, mend in faults
    ]


class Readiness:
    """The guard for `/readyz`, asked by anybody as often as they like: it looks at most once a second."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock()
        self._found: list[Fault] | None = None
        self._looked_at = float("-inf")

    async def faults(self) -> list[Fault]:
        """Faults as of the last second.

        Raises:
            DatabaseUnavailable: when the database could not be looked at.
        """
        async with self._lock:
            if time.monotonic() - self._looked_at > 1:
                try:
                    self._found = await find_faults(self._engine)
                except (SQLAlchemyError, OSError, TimeoutError) as error:
                    log.warning("not ready: the database cannot be looked at: %s", in_one_line(error))
                    self._found = None
                self._looked_at = time.monotonic()
        if self._found is None:
            raise DatabaseUnavailable("The database cannot be reached.")
        return self._found
