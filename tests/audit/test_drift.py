"""What is in force is compared with what db/policies/ makes, and looking changes nothing."""

import ast
import asyncio
import secrets
import time
from pathlib import Path

import pytest

import audit.drift
from audit.connection import connect
from audit.drift import drift
from audit.finding import MIGRATE, CannotLook, Finding
from tests.audit.conftest import Weakened
from tests.conftest import Database, in_database, run_sql
from tests.database.catalog import catalog

ROOT = Path(__file__).parents[2]


async def look(url: str) -> list[Finding]:
    connection = await connect(url)
    try:
        found, _ = await drift(connection, lambda _: None)
    finally:
        await connection.close()
    return found


def sentences(audited: Database) -> list[str]:
    found = asyncio.run(look(audited.superuser_url))
    assert {finding.check for finding in found} <= {"drift"}
    assert {finding.mend for finding in found} <= {MIGRATE}
    return [f"{finding.object} {finding.what}" for finding in found]


OWN = "(owner_id = ( SELECT app.current_user_id() AS current_user_id))"

# What is done by hand: the sentences about it, each with a part of what it says.
DRIFTS: dict[str, list[str]] = {
    "ALTER POLICY wall ON app.tasks USING (true)": [
        f"policy wall on app.tasks has in force USING: true where db/policies/ says {OWN}"
    ],
    "ALTER POLICY door ON app.tasks TO PUBLIC": [
        "policy door on app.tasks has in force roles: PUBLIC where db/policies/ says todo_api"
    ],
    "DROP POLICY wall ON app.idempotency_keys": [
        "policy wall on app.idempotency_keys is not in force where db/policies/ makes it"
    ],
    "CREATE POLICY forgotten ON app.tasks USING (true)": [
        "policy forgotten on app.tasks is in force where db/policies/ says nothing of it"
    ],
    'ALTER POLICY wall ON app.tasks RENAME TO "Wall"': [
        'policy "Wall" on app.tasks is in force where db/policies/ says nothing of it',
        "policy wall on app.tasks is not in force where db/policies/ makes it",
    ],
    "DROP POLICY wall ON app.tasks; CREATE POLICY wall ON app.tasks "
    "USING (owner_id = (SELECT app.current_user_id())) WITH CHECK (owner_id = (SELECT app.current_user_id()))": [
        "policy wall on app.tasks has in force kind: PERMISSIVE where db/policies/ says RESTRICTIVE"
    ],
    "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY": [
        "app.tasks has in force FORCE ROW LEVEL SECURITY: off where db/policies/ says on"
    ],
    "ALTER TABLE app.tasks DISABLE ROW LEVEL SECURITY": [
        "app.tasks has in force row-level security: off where db/policies/ says on"
    ],
    "GRANT TRUNCATE ON app.tasks TO todo_api": [
        "app.tasks has in force for todo_api: DELETE, TRUNCATE where db/policies/ says DELETE"
    ],
    "GRANT SELECT ON app.tasks TO PUBLIC": [
        "app.tasks has in force for PUBLIC: SELECT where db/policies/ says nothing"
    ],
    "GRANT UPDATE (owner_id) ON app.tasks TO todo_api": [
        "app.tasks has in force for todo_api UPDATE: (owner_id, title, description, status) "
        "where db/policies/ says (title, description, status)"
    ],
    "GRANT DELETE ON app.tasks TO todo_api WITH GRANT OPTION": [
        "app.tasks has in force for todo_api: DELETE WITH GRANT OPTION where db/policies/ says DELETE"
    ],
    "REVOKE INSERT (title) ON app.tasks FROM todo_api": [
        "app.tasks has in force for todo_api INSERT: (description, status) "
        "where db/policies/ says (title, description, status)"
    ],
    "REVOKE DELETE ON app.tasks FROM todo_api": [
        "app.tasks has in force for todo_api: nothing where db/policies/ says DELETE"
    ],
    "REVOKE USAGE ON SCHEMA app FROM todo_api": [
        "schema app has in force for todo_api: nothing where db/policies/ says USAGE"
    ],
    "GRANT EXECUTE ON FUNCTION app.current_user_id() TO PUBLIC": [
        "function app.current_user_id() has in force for PUBLIC: EXECUTE where db/policies/ says nothing"
    ],
    "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql RETURN 'alice'::text": [
        "function app.current_user_id() has in force definition: CREATE OR REPLACE FUNCTION app.current_user_id() "
    ],
    "ALTER FUNCTION app.current_user_id() SECURITY DEFINER": [" SECURITY DEFINER "],
    "ALTER DEFAULT PRIVILEGES FOR ROLE todo_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC": [
        "default privileges of todo_owner is not in force where db/policies/ makes it"
    ],
}


def test_a_migrated_database_has_not_drifted(audited: Database) -> None:
    assert sentences(audited) == []


@pytest.mark.parametrize("statement", DRIFTS)
def test_what_was_done_by_hand_is_found_and_said_in_plain_words(weakened: Weakened, statement: str) -> None:
    found = sentences(weakened(statement))
    expected = DRIFTS[statement]
    assert len(found) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True)), found


def test_what_means_the_same_is_no_drift(weakened: Weakened) -> None:
    """Postgres prints both in one form, and a policy made anew has another oid and place."""
    same = weakened(
        "DROP POLICY door ON app.tasks",
        "CREATE POLICY door ON app.tasks TO todo_api USING ((SELECT app.current_user_id()) IS NULL)",
        "ALTER POLICY door ON app.tasks USING ((((owner_id)) = (SELECT  app.current_user_id())))"
        " WITH CHECK (owner_id = (SELECT app.current_user_id()))",
        "REVOKE ALL ON app.tasks FROM todo_owner",
        "GRANT ALL ON app.tasks TO todo_owner",
    )
    assert sentences(same) == []


def test_spaces_within_a_literal_are_a_difference(weakened: Weakened, tmp_path: Path) -> None:
    body = "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE"
    audited = weakened(f"{body} SET search_path = '' RETURN nullif(current_setting('app.user_id', true), ' ')")
    assert len(sentences(audited)) == 1


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DROP SCHEMA app CASCADE", "does not exist"),
        ("ALTER TABLE app.tasks RENAME TO chores", 'relation "app.tasks" does not exist'),
        ("CREATE TABLE app.t (); CREATE POLICY p ON app.t", "must be owner of"),
    ],
)
def test_a_database_that_the_files_do_not_fit_is_a_finding(weakened: Weakened, statement: str, what: str) -> None:
    (found,) = asyncio.run(look(weakened(statement).superuser_url))
    assert found.object == "db/policies/"
    assert found.what.startswith("cannot be applied: ")
    assert what in found.what
    assert found.mend == MIGRATE


def test_a_role_that_the_files_refuse_is_a_finding_with_their_hint(weakened: Weakened) -> None:
    group = f"group_{secrets.token_hex(4)}"
    audited = weakened(f"CREATE ROLE {group}", f"GRANT {group} TO todo_api")
    try:
        (found,) = asyncio.run(look(audited.superuser_url))
    finally:
        asyncio.run(run_sql(audited.superuser_url, f"DROP ROLE {group}"))
    assert found.what == f"cannot be applied: role todo_api is a member of {group}"
    assert found.mend == "-- REVOKE that membership: both are members of nothing."


def test_a_setting_of_the_service_that_was_lost_is_found(audited: Database) -> None:
    asyncio.run(run_sql(audited.superuser_url, "ALTER ROLE todo_api SET lock_timeout = '1h'"))
    try:
        (found,) = sentences(audited)
    finally:
        asyncio.run(run_sql(audited.superuser_url, "ALTER ROLE todo_api SET lock_timeout = '2s'"))
    assert found.startswith("role todo_api has in force settings: ")
    assert "lock_timeout=1h" in found


def test_looking_changes_nothing(weakened: Weakened) -> None:
    audited = weakened(*(statement for statement in DRIFTS if "DROP" not in statement and "RENAME" not in statement))
    before = asyncio.run(catalog(audited.superuser_url))
    assert asyncio.run(look(audited.superuser_url)) != []
    assert asyncio.run(catalog(audited.superuser_url)) == before


async def test_a_table_in_use_is_not_waited_for(audited: Database) -> None:
    reader, auditor = await audited.as_superuser(), await connect(audited.superuser_url)
    try:
        async with reader.transaction():
            await reader.execute("SELECT count(*) FROM app.tasks")
            began = time.monotonic()
            with pytest.raises(CannotLook, match="lock timeout: try again"):
                await drift(auditor, lambda _: None)
            assert time.monotonic() - began < 2
        assert (await drift(auditor, lambda _: None))[0] == []
    finally:
        await reader.close()
        await auditor.close()


async def test_a_migration_in_progress_is_not_waited_for(audited: Database) -> None:
    migration, auditor = await audited.as_superuser(), await connect(audited.superuser_url)
    try:
        async with migration.transaction():
            await migration.execute(f"SELECT pg_advisory_xact_lock({audit.drift.ADVISORY_LOCK})")
            with pytest.raises(CannotLook, match="lock timeout: try again"):
                await drift(auditor, lambda _: None)
    finally:
        await migration.close()
        await auditor.close()


async def test_who_may_not_migrate_is_told_whose_url_it_takes(audited: Database) -> None:
    with pytest.raises(CannotLook, match=r"may not apply db/policies/ .*: write the URL of the role that migrates$"):
        await look(audited.api_url)


async def test_who_migrates_need_not_be_a_superuser(audited: Database) -> None:
    """And is not the one who migrated: it may act as the owner, which is no drift."""
    name, password = f"auditor_{secrets.token_hex(4)}", secrets.token_hex(16)
    await run_sql(
        audited.superuser_url,
        f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'",
        f"GRANT CREATE ON DATABASE {audited.name} TO {name}",
        f"GRANT todo_owner TO {name} WITH ADMIN OPTION",
        f"GRANT todo_api TO {name} WITH ADMIN OPTION",
    )
    try:
        url = in_database(audited.superuser_url, audited.name, username=name, password=password)
        assert await look(url) == []
    finally:
        await run_sql(audited.superuser_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_the_files_are_applied_as_a_migration_applies_them() -> None:
    tree = ast.parse((ROOT / "db" / "migrations" / "env.py").read_text())
    constants = {
        statement.targets[0].id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    for name in ("FOUNDATION", "DROP_POLICIES", "ADVISORY_LOCK"):
        assert ast.literal_eval(constants[name]) == getattr(audit.drift, name)
