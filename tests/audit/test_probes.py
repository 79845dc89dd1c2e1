"""The probes alone: they find what a role can do that it should not, and leave no trace."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from audit.access import Access, read_access
from audit.examination import audit
from audit.finding import CannotLook, Finding
from audit.probes import probe
from tests.audit.conftest import Weakened, findings
from tests.conftest import Client, Database, in_database, run_sql

ROWS = "SELECT xmin::text, ctid::text, * FROM app.{} ORDER BY owner_id"


async def probes(url: str, access: Access | None = None) -> list[Finding]:
    found, _ = await probe_and_count(url, access)
    return found


async def probe_and_count(url: str, access: Access | None = None) -> tuple[list[Finding], str]:
    connection = await asyncpg.connect(url)
    try:
        return await probe(connection, access or read_access(), lambda _: None)
    finally:
        await connection.close()


# What is done by hand: words of a finding that tells of it.
WEAKENINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "row-level security is off": (
        ("ALTER TABLE app.tasks DISABLE ROW LEVEL SECURITY",),
        "as todo_api, SELECT of the other's row gave 1 row instead of no row",
    ),
    "the owner is not forced": (
        ("ALTER TABLE app.idempotency_keys NO FORCE ROW LEVEL SECURITY",),
        "as todo_owner, DELETE of the other's row gave 1 row",
    ),
    "no wall, and a door for everybody's rows": (
        ("DROP POLICY wall ON app.tasks", "ALTER POLICY door ON app.tasks USING (true)"),
        "as todo_api, DELETE of the other's row gave 1 row",
    ),
    "a wall and a door that compare by greater or equal": (
        (
            "ALTER POLICY wall ON app.tasks USING (owner_id >= (SELECT app.current_user_id()))",
            "ALTER POLICY door ON app.tasks USING (owner_id >= (SELECT app.current_user_id()))",
        ),
        "as todo_api, SELECT of the other's row gave 1 row",
    ),
    "without a caller every row is the caller's": (
        (
            "ALTER POLICY wall ON app.tasks USING (owner_id = coalesce((SELECT app.current_user_id()), owner_id))",
            "ALTER POLICY door ON app.tasks USING (owner_id = coalesce((SELECT app.current_user_id()), owner_id))",
        ),
        "as todo_api, SELECT of its own row gave 1 row instead of no row; app.user_id never set",
    ),
    "another setting names the caller": (
        (
            "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE SET search_path = '' "
            "RETURN nullif(current_setting('app.caller', true), '')",
        ),
        "as todo_api, SELECT of its own row gave no row instead of 1 row; app.user_id own",
    ),
    "without a caller the caller is alice": (
        (
            "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE SET search_path = '' "
            "RETURN coalesce(nullif(current_setting('app.user_id', true), ''), 'alice')",
        ),
        "as todo_api, INSERT of a new row gave 1 row instead of",
    ),
    "a caller in any case": (
        (
            "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE SET search_path = '' "
            "RETURN lower(nullif(current_setting('app.user_id', true), ''))",
        ),
        "in the other case",
    ),
    "a caller that is a pattern": (
        (
            "ALTER POLICY wall ON app.tasks USING (owner_id LIKE (SELECT app.current_user_id()))",
            "ALTER POLICY door ON app.tasks USING (owner_id LIKE (SELECT app.current_user_id()))",
        ),
        "app.user_id a pattern",
    ),
    "rows may be given away": (
        (
            "ALTER POLICY wall ON app.tasks WITH CHECK (true)",
            "ALTER POLICY door ON app.tasks WITH CHECK (true)",
            "GRANT INSERT (owner_id), UPDATE (owner_id) ON app.tasks TO todo_api",
        ),
        "as todo_api, INSERT of a new row gave 1 row instead of a refusal",
    ),
    "a policy for UPDATE without a filter alone": (
        (
            "DROP POLICY wall ON app.tasks",
            "CREATE POLICY wide ON app.tasks FOR UPDATE TO todo_api USING (true) WITH CHECK (true)",
        ),
        "as todo_api, UPDATE of anybody's row reached a row instead of no row",
    ),
    "the owner column can be written": (
        ("GRANT INSERT (owner_id) ON app.tasks TO todo_api",),
        "as todo_api, INSERT of a new row gave 1 row instead of a refusal",
    ),
    "a column can be written": (
        ("GRANT UPDATE (created_at) ON app.tasks TO todo_api",),
        "column created_at",
    ),
    "a column can no longer be read": (
        ("REVOKE SELECT (description) ON app.tasks FROM todo_api",),
        "as todo_api, SELECT of its own row was refused instead of 1 row",
    ),
    "all columns can be read, system columns too": (("GRANT SELECT ON app.tasks TO todo_api",), "column ctid"),
    "PUBLIC can read": (
        ("GRANT USAGE ON SCHEMA app TO PUBLIC", "GRANT SELECT ON app.tasks TO PUBLIC"),
        "as PUBLIC, SELECT of its own row gave no row instead of a refusal",
    ),
    "TRUNCATE": (("GRANT TRUNCATE ON app.tasks TO todo_api",), "can be used for TRUNCATE by todo_api"),
    "REFERENCES": (("GRANT REFERENCES (id) ON app.tasks TO todo_api",), "can be used for REFERENCES by todo_api"),
    "TRIGGER": (("GRANT TRIGGER ON app.tasks TO PUBLIC",), "can be used for TRIGGER by PUBLIC"),
    "a key is one among all users": (
        (
            "ALTER TABLE app.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey, "
            "ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key)",
        ),
        "has no row of an invented user",
    ),
    "the table is gone": (("DROP TABLE app.tasks",), "is not there"),
}


@pytest.mark.parametrize("weakening", WEAKENINGS)
def test_a_weakening_is_found(weakened: Weakened, weakening: str) -> None:
    statements, expected = WEAKENINGS[weakening]
    found = asyncio.run(probes(weakened(*statements).superuser_url))
    assert any(expected in finding.what for finding in found), "\n".join(finding.what for finding in found)
    assert len(found) < 60  # or nobody reads them


async def test_nothing_is_found_in_what_migrations_make_and_rows_stay_as_they_are(
    database: Database, client: Client
) -> None:
    alice = client()
    created = await alice.post("/tasks", json={"title": "x"}, headers={"idempotency-key": "k"})
    assert created.status_code == 201
    superuser = await database.as_superuser()
    before = {table: await superuser.fetch(ROWS.format(table)) for table in read_access().tables}
    assert all(before.values())
    found, amount = await probe_and_count(database.superuser_url)
    assert [finding.what for finding in found] == []
    assert int(amount.split(" probes")[0].replace(",", "")) > 5000
    assert amount.endswith("probes"), amount
    for table, rows in before.items():
        assert [row for row in await superuser.fetch(ROWS.format(table)) if row in rows] == rows
        assert not await superuser.fetchval(f"SELECT count(*) FROM app.{table} WHERE owner_id LIKE 'audit-%'")
    assert not await superuser.fetchval("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'audit\\_%'")
    await superuser.close()


@pytest.mark.usefixtures("roles_to_itself")
async def test_a_role_that_bypasses_row_level_security_is_found(audited: Database) -> None:
    superuser = await audited.as_superuser()
    # Never committed: roles belong to the cluster, and other tests run as this one.
    transaction = superuser.transaction()
    await transaction.start()
    await superuser.execute("ALTER ROLE todo_api BYPASSRLS")
    found, _ = await probe(superuser, read_access())
    await transaction.rollback()
    await superuser.close()
    assert any("as todo_api, SELECT of the other's row gave 1 row instead of no row" in each.what for each in found)


def test_a_finding_says_who_did_what_and_how_and_where_to_look(weakened: Weakened) -> None:
    found = asyncio.run(probes(weakened("ALTER TABLE app.tasks DISABLE ROW LEVEL SECURITY").superuser_url))
    (one,) = (each for each in found if "todo_api, DELETE of the other's row" in each.what)
    assert (one.check, one.object) == ("probe", "app.tasks")
    assert one.what == (
        "as todo_api, DELETE of the other's row gave 1 row instead of no row; app.user_id never set, own, "
        "a third user's, '' and 4 more; plain, subquery, CTE, RETURNING and 4 more"
    )
    assert "app.idempotency_keys" not in {each.object for each in found}
    assert "db/policies/" in one.mend


NOTES = """
CREATE TYPE app.mood AS ENUM ('fine', 'bad');
CREATE TABLE app.notes (
  owner_id text DEFAULT app.current_user_id() NOT NULL,
  number int GENERATED ALWAYS AS IDENTITY,
  text varchar(60) NOT NULL, mood app.mood NOT NULL, priority text NOT NULL CHECK (priority IN ('low', 'high')),
  due date NOT NULL, tags text[] NOT NULL, extra jsonb NOT NULL, share numeric NOT NULL, "a b" boolean NOT NULL,
  PRIMARY KEY (owner_id, number)
);
ALTER TABLE app.notes OWNER TO todo_owner;
ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT USAGE ON TYPE app.mood TO todo_api;
GRANT SELECT (owner_id, number, text), INSERT (text, mood, priority, due, tags, extra, share, "a b"), UPDATE ("a b"),
  DELETE ON app.notes TO todo_api;
CREATE POLICY door ON app.notes TO todo_api USING ({0}) WITH CHECK ({0})
"""


@pytest.mark.parametrize(("policy", "sound"), [("owner_id = (SELECT app.current_user_id())", True), ("true", False)])
def test_a_table_that_is_new_in_the_file_is_probed_too(weakened: Weakened, policy: str, sound: bool) -> None:
    audited = weakened(NOTES.format(policy))
    grants = {
        "rows": "own",
        "select": ["owner_id", "number", "text"],
        "insert": ["text", "mood", "priority", "due", "tags", "extra", "share", "a b"],
        "update": ["a b"],
        "delete": True,
    }
    written = read_access().model_dump()
    written["tables"]["notes"] = {
        "owner_column": "owner_id",
        "access": {"todo_api": grants, "todo_owner": {"rows": "none"}},
    }
    found = asyncio.run(probes(audited.superuser_url, Access.model_validate(written)))
    assert {each.object for each in found} == (set() if sound else {"app.notes"}), found


async def own_role(audited: Database, *attributes: str) -> tuple[str, str]:
    name, password = f"role_{secrets.token_hex(4)}", secrets.token_hex(16)
    await run_sql(audited.superuser_url, f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {' '.join(attributes)}")
    return name, in_database(audited.api_url, audited.name, username=name, password=password)


async def test_a_role_that_is_no_superuser_can_probe(audited: Database) -> None:
    """As on Neon."""
    name, url = await own_role(audited, "CREATEROLE")
    await run_sql(audited.superuser_url, f"GRANT todo_api, todo_owner TO {name}")
    try:
        found, amount = await probe_and_count(url)
        assert [each.what for each in found] == []
        assert amount.endswith(" probes"), amount
    finally:
        await run_sql(audited.superuser_url, f"DROP ROLE {name}")


async def test_todo_api_can_probe_itself(audited: Database) -> None:
    found, amount = await probe_and_count(audited.api_url)
    assert found == []
    assert amount.endswith(
        "; not as todo_owner, since todo_api may not SET ROLE todo_owner"
        "; not as PUBLIC, since this role may not CREATE ROLE"
    )


async def test_a_role_that_may_not_become_todo_api_is_told_whose_url_it_takes(audited: Database) -> None:
    name, url = await own_role(audited)
    try:
        with pytest.raises(CannotLook) as told:
            await probes(url)
        assert str(told.value) == f"{name} may not SET ROLE todo_api: write the URL of the role that migrates"
    finally:
        await run_sql(audited.superuser_url, f"DROP ROLE {name}")


def test_a_connection_that_dies_midway_cannot_look(weakened: Weakened) -> None:
    audited = weakened()
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "

    def end_all(doing: str) -> None:
        if doing.startswith("probes "):
            with ThreadPoolExecutor() as pool:
                pool.submit(asyncio.run, run_sql(audited.superuser_url, f"{others} pg_backend_pid()")).result()

    with pytest.raises(CannotLook, match="the database cannot be looked at") as told:
        asyncio.run(audit(audited.superuser_url, read_access(), end_all))
    assert "\n" not in str(told.value)


def test_a_lock_that_somebody_holds_is_waited_for_no_longer_than_a_second(weakened: Weakened) -> None:
    audited = weakened()

    async def audit_beside_a_migration() -> None:
        other = await audited.as_superuser()
        async with other.transaction():
            await other.execute("LOCK TABLE app.tasks")
            with pytest.raises(CannotLook, match="lock timeout"):
                await audit(audited.superuser_url, read_access())
        await other.close()

    asyncio.run(audit_beside_a_migration())


def test_an_audit_includes_the_probes(weakened: Weakened) -> None:
    assert "probe" in {each.check for each in findings(weakened("GRANT UPDATE (id) ON app.tasks TO todo_api"))}


async def test_no_prepared_statement_and_no_function_stays_on_the_connection(audited: Database) -> None:
    connection = await audited.as_superuser()
    await probe(connection, read_access())
    assert not await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'audit-%'")
    assert await connection.fetchval("SELECT to_regproc('pg_temp.audit_reached')") is None
    assert await connection.fetchval("SELECT current_user = session_user")
    await connection.close()
