"""pgrls proves the policies, and what it says otherwise is a finding."""

import asyncio
from typing import Any

import pytest

import audit.pgrls
from audit.access import Access, read_access
from audit.examination import audit as examine
from audit.finding import CannotLook, Finding
from audit.pgrls import prove
from tests.audit.conftest import Weakened
from tests.conftest import Database

installed = pytest.mark.skipif(audit.pgrls.version() is None, reason="pgrls is not installed: make .venv/.auditable")


def proof(audited: Database, access: Access | None = None) -> list[Finding]:
    found, _ = asyncio.run(prove(audited.superuser_url, access or read_access(), lambda _: None))
    assert {finding.check for finding in found} <= {"pgrls"}
    return found


def sentences(audited: Database) -> str:
    return "\n".join(f"{finding.object} {finding.what}" for finding in proof(audited))


@installed
def test_a_migrated_database_is_proven(audited: Database) -> None:
    report = asyncio.run(examine(audited.superuser_url, read_access()))
    assert report.findings == []
    assert report.done["pgrls"].endswith(", lint and anon, cross-tenant, write, escalation, reachability")


@installed
def test_policies_that_let_everybody_through_are_not_proven(weakened: Weakened) -> None:
    everybody = weakened(
        "ALTER POLICY wall ON app.tasks USING (true) WITH CHECK (true)",
        "ALTER POLICY door ON app.tasks USING (true) WITH CHECK (true)",
    )
    said = sentences(everybody)
    assert "app.tasks is not PROVEN but UNVERIFIED in mode cross-tenant: " in said
    assert "app.tasks is not PROVEN but UNVERIFIED in mode write: " in said
    assert "app.tasks.door breaks SEC008: Permissive policy USING clause is constant true" in said
    assert "idempotency_keys" not in said


@installed
def test_a_row_that_leaks_is_shown(weakened: Weakened) -> None:
    open_to_nobody = weakened(
        "DROP POLICY wall ON app.tasks",
        "ALTER POLICY door ON app.tasks TO PUBLIC USING (owner_id = (SELECT app.current_user_id()) "
        "OR app.current_user_id() IS NULL)",
    )
    assert "app.tasks is not PROVEN but LEAK in mode anon: door: leaks " in sentences(open_to_nobody)


@installed
def test_a_view_around_the_policies_is_found(weakened: Weakened) -> None:
    around = weakened("CREATE VIEW app.all_tasks AS SELECT * FROM app.tasks", "GRANT SELECT ON app.all_tasks TO PUBLIC")
    said = sentences(around)
    assert "app.tasks is not PROVEN but LEAK in mode reachability: anon reads every row via app.all_tasks" in said
    assert "app.all_tasks breaks VIEW001: " in said


@installed
def test_only_the_trigger_that_was_read_is_passed_over(weakened: Weakened) -> None:
    another = weakened(
        "CREATE TRIGGER another BEFORE UPDATE ON app.tasks FOR EACH ROW EXECUTE FUNCTION app.advance_updated_at()"
    )
    (found,) = proof(another)
    assert (found.object, found.what[:13]) == ("app.tasks.another", "breaks SEC013")
    assert found.mend == "-- In a shell: pgrls explain SEC013"


@installed
def test_a_table_that_was_not_looked_at_is_not_taken_for_proven(audited: Database) -> None:
    access = read_access()
    more = access.model_copy(update={"tables": {**access.tables, "lists": access.tables["tasks"]}})
    assert [(finding.object, finding.what) for finding in proof(audited, more)] == [
        ("app.lists", f"is not among the tables that mode {mode} looked at")
        for mode in ("anon", "cross-tenant", "write")
    ]


@installed
def test_the_password_is_in_no_argument_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: list[Any] = []
    start = asyncio.create_subprocess_exec

    async def watched(*started: str, **options: Any) -> asyncio.subprocess.Process:
        arguments.extend(started)
        return await start(*started, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    with pytest.raises(CannotLook, match=r"^pgrls \w+ failed: .*refused") as refused:
        asyncio.run(prove("postgresql://u:hunter2@127.0.0.1:1/x", read_access(), lambda _: None))
    assert "hunter2" not in f"{refused.value} {arguments}"
    assert "\n" not in str(refused.value)
    assert "lint" in arguments


@installed
async def test_it_is_stopped_when_it_does_not_come_to_an_end(
    audited: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.pgrls._SECONDS", 0.01)
    with pytest.raises(CannotLook, match="was not done within"):
        await prove(audited.superuser_url, read_access(), lambda _: None)


def test_an_audit_without_it_says_so_and_finds_nothing_in_that(
    audited: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.pgrls.version", lambda: None)
    report = asyncio.run(examine(audited.superuser_url, read_access()))
    assert report.findings == []
    assert report.done["pgrls"] == "not installed (pip install todo-api[audit])"
