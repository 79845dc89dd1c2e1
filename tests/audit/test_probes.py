"""The probes alone: they find what a role can do that it should not, and leave no trace."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from audit.access import Access, Grants, Table, read_access
from audit.examination import CannotLook, audit
from audit.finding import Finding
from audit.probes import probe
from tests.audit.conftest import Weakened
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
