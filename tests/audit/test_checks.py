"""Each check finds what it is for, says how to mend it, and finds nothing in what migrations make."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from audit.access import Role, read_access
from audit.checks import checks, examine, tell
from audit.finding import Finding
from tests.audit.conftest import findings
from tests.conftest import Database

CREATE_TASKS = Path("db/migrations/versions/2026-11-21-0900_create_tasks.py").read_text()
OWN = "owner_id = (SELECT app.current_user_id())"
DEFINER = "LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1'"
IDENTITY = "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE"

# What is done by hand: the check that finds it.
CALLED = "CREATE FUNCTION public.called(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';"
WEAKENINGS = {
    # Whatever is called with a row, or before a policy is asked
    f"{CALLED} ALTER TABLE app.tasks ADD CHECK (public.called(title)) NOT VALID": "expression_unknown",
    f"{CALLED} CREATE INDEX ON app.tasks (owner_id) WHERE public.called(title)": "expression_unknown",
    f"{CALLED} ALTER TABLE app.tasks ADD c boolean GENERATED ALWAYS AS (public.called(title)) STORED": (
        "expression_unknown"
    ),
    f"{CALLED} CREATE STATISTICS app.st ON (public.called(title)), title FROM app.tasks": "expression_unknown",
    f"{CALLED} ALTER TABLE app.tasks ADD c boolean DEFAULT public.called('x')": "expression_unknown",
    f"{CALLED} ALTER FUNCTION public.called(text) LEAKPROOF": "function_leakproof",
    "CREATE FUNCTION public.logged() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END';"
    "REVOKE ALL ON FUNCTION public.logged() FROM PUBLIC;"
    "CREATE EVENT TRIGGER later ON ddl_command_end EXECUTE FUNCTION public.logged()": "event_trigger_definer",
    "CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
    "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);"
    "SET LOCAL search_path = public, pg_catalog;"
    "CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE"
    " SET search_path = '' RETURN nullif(current_setting('app.user_id', true), '');"
    "SET LOCAL search_path = pg_catalog": "identity_altered",
    # What everybody may use
    "CREATE TABLE public.copied AS SELECT * FROM app.tasks; GRANT SELECT ON public.copied TO PUBLIC": "grant_public",
    "CREATE SEQUENCE public.counted; GRANT USAGE ON public.counted TO PUBLIC": "grant_public",
    "CREATE EXTENSION btree_gist; ALTER TABLE app.tasks ADD EXCLUDE USING gist (owner_id WITH <>)": (
        "unique_without_owner"
    ),
    # Row-level security
    "ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY": "rls_missing",
    "ALTER TABLE app.idempotency_keys DISABLE ROW LEVEL SECURITY": "rls_missing",
    "CREATE TABLE app.notes (id bigserial PRIMARY KEY, owner_id text)": "table_unknown",
    'CREATE TABLE app."No ""Notes" (id int GENERATED ALWAYS AS IDENTITY)': "table_unknown",
    "DROP POLICY wall ON app.tasks": "wall_altered",
    "ALTER POLICY wall ON app.tasks USING (true)": "wall_altered",
    "ALTER POLICY wall ON app.tasks WITH CHECK (true)": "wall_altered",
    "ALTER POLICY wall ON app.tasks TO todo_api": "wall_altered",
    f"DROP POLICY wall ON app.tasks; CREATE POLICY wall ON app.tasks USING ({OWN}) WITH CHECK ({OWN})": "wall_altered",
    f"DROP POLICY wall ON app.tasks; CREATE POLICY wall ON app.tasks AS RESTRICTIVE FOR SELECT USING ({OWN})": (
        "wall_altered"
    ),
    f"DROP POLICY wall ON app.tasks; CREATE POLICY wall ON app.tasks AS RESTRICTIVE USING ({OWN})": "wall_altered",
    "ALTER POLICY wall ON app.tasks USING (owner_id = coalesce((SELECT app.current_user_id()), owner_id))": (
        "wall_altered"
    ),
    "CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
    "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);"
    "ALTER POLICY wall ON app.tasks USING (owner_id OPERATOR(public.=) (SELECT app.current_user_id()))": "wall_altered",
    "ALTER POLICY wall ON app.tasks USING (owner_id >= (SELECT app.current_user_id()))": "wall_altered",
    "DROP POLICY door ON app.tasks": "door_altered",
    "ALTER POLICY door ON app.tasks TO PUBLIC": "door_altered",
    "ALTER POLICY door ON app.tasks TO todo_api, todo_owner": "door_altered",
    "ALTER POLICY door ON app.tasks USING (owner_id >= (SELECT app.current_user_id()))": "door_altered",
    "ALTER POLICY door ON app.tasks WITH CHECK (true)": "door_altered",
    "CREATE POLICY everybody ON app.tasks FOR SELECT USING (true)": "policy_unknown",
    "CREATE POLICY later ON app.tasks USING (owner_id >= (SELECT app.current_user_id()))": "policy_unknown",
    "CREATE POLICY late ON app.tasks USING (owner_id = coalesce((SELECT app.current_user_id()), owner_id))": (
        "policy_unknown"
    ),
    f"CREATE POLICY others ON app.tasks TO todo_owner USING ({OWN})": "policy_unknown",
    "CREATE POLICY liking ON app.tasks FOR INSERT WITH CHECK (title LIKE 'a%')": "policy_leaky",
    "ALTER POLICY door ON app.tasks USING (lower(owner_id) = (SELECT app.current_user_id()))": "policy_leaky",
    "ALTER POLICY wall ON app.tasks USING (owner_id = app.current_user_id())": "policy_per_row",
    "CREATE POLICY rows ON app.tasks FOR DELETE USING (owner_id = current_setting('app.user_id', true))": (
        "policy_per_row"
    ),
    "ALTER TABLE app.tasks DROP CONSTRAINT tasks_pkey; ALTER TABLE app.tasks ALTER owner_id DROP NOT NULL": (
        "owner_column_altered"
    ),
    "ALTER TABLE app.tasks ALTER owner_id DROP DEFAULT": "owner_column_altered",
    "ALTER TABLE app.tasks ALTER owner_id SET DEFAULT 'alice'": "owner_column_altered",
    "DROP INDEX app.tasks_by_created_at, app.tasks_by_updated_at; ALTER TABLE app.tasks DROP CONSTRAINT tasks_pkey": (
        "owner_index_missing"
    ),
    # What compares or carries rows of several users
    "CREATE UNIQUE INDEX titles ON app.tasks (title)": "unique_without_owner",
    "ALTER TABLE app.tasks ADD UNIQUE (title)": "unique_without_owner",
    "ALTER TABLE app.tasks DROP CONSTRAINT tasks_pkey, ADD PRIMARY KEY (id, owner_id)": "unique_without_owner",
    "CREATE UNIQUE INDEX ON app.tasks (lower(title))": "unique_without_owner",
    "ALTER TABLE app.tasks ADD EXCLUDE (title WITH =)": "unique_without_owner",
    "CREATE TABLE public.notes (o text, t uuid, FOREIGN KEY (o, t) REFERENCES app.tasks ON DELETE CASCADE)": (
        "foreign_key_without_owner"
    ),
    "CREATE TABLE app.notes (o text, t uuid, FOREIGN KEY (o, t) REFERENCES app.tasks)": "foreign_key_without_owner",
    "CREATE TABLE public.kinds (name text PRIMARY KEY);"
    "ALTER TABLE app.tasks ADD CONSTRAINT kind FOREIGN KEY (status) REFERENCES public.kinds": (
        "foreign_key_without_owner"
    ),
    "CREATE UNIQUE INDEX ids ON app.tasks (id); ALTER TABLE app.idempotency_keys ADD FOREIGN KEY (task_id) "
    "REFERENCES app.tasks (id)": "foreign_key_without_owner",
    "CREATE SEQUENCE app.numbers": "sequence_in_app",
    "ALTER TABLE app.tasks ADD COLUMN number bigserial": "sequence_in_app",
    "ALTER TABLE app.tasks ADD COLUMN number int GENERATED BY DEFAULT AS IDENTITY": "sequence_in_app",
    "CREATE FUNCTION public.carry() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER carry AFTER INSERT ON app.tasks FOR EACH ROW EXECUTE FUNCTION public.carry()": "trigger_unknown",
    "CREATE FUNCTION public.carry() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE OR REPLACE TRIGGER advance_updated_at BEFORE UPDATE ON app.tasks FOR EACH ROW "
    "WHEN (NEW.title <> '') EXECUTE FUNCTION public.carry()": "trigger_unknown",
    "CREATE RULE nothing AS ON DELETE TO app.tasks DO INSTEAD NOTHING": "rule_on_table",
    "CREATE TABLE public.more () INHERITS (app.tasks)": "inheritance",
    "CREATE TABLE public.parent (owner_id text NOT NULL); ALTER TABLE app.tasks INHERIT public.parent": "inheritance",
    "CREATE VIEW public.titles AS SELECT title FROM app.tasks": "view_definer",
    "CREATE VIEW app.titles WITH (security_invoker = off) AS SELECT title FROM app.tasks": "view_definer",
    "CREATE VIEW public.inner WITH (security_invoker) AS SELECT title FROM app.tasks;"
    "CREATE VIEW public.outer AS SELECT count(*) FROM (SELECT FROM public.inner) AS titles": "view_definer",
    "CREATE MATERIALIZED VIEW public.titles AS SELECT title FROM app.tasks": "materialized_view",
    "CREATE MATERIALIZED VIEW app.one AS SELECT 1 AS one": "materialized_view",
    "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER away FOREIGN DATA WRAPPER far;"
    "CREATE FOREIGN TABLE app.there (title text) SERVER away": "foreign_table",
    "CREATE PUBLICATION everything FOR ALL TABLES": "published",
    "CREATE PUBLICATION app_tables FOR TABLES IN SCHEMA app": "published",
    "CREATE PUBLICATION half FOR TABLE app.tasks (owner_id, id)": "published",
    # Functions
    f"CREATE FUNCTION app.one() RETURNS int {DEFINER}": "function_definer",
    f"CREATE FUNCTION public.one(text, int[]) RETURNS int {DEFINER}": "function_definer",
    f"CREATE PROCEDURE public.one() {DEFINER}": "function_definer",
    "CREATE FUNCTION app.one() RETURNS int LANGUAGE sql AS 'SELECT 1'": "function_search_path",
    "ALTER FUNCTION app.uuidv7() SET search_path = public": "function_search_path",
    f"{IDENTITY} SET search_path = '' RETURN coalesce(current_setting('app.user_id', true), 'alice')": (
        "identity_altered"
    ),
    f"{IDENTITY} SET search_path = '' AS $$ SELECT nullif(current_setting('app.user_id', true), '') $$": (
        "identity_altered"
    ),
    "ALTER FUNCTION app.current_user_id() SECURITY DEFINER": "identity_altered",
    "ALTER FUNCTION app.current_user_id() VOLATILE": "identity_altered",
    "ALTER FUNCTION app.current_user_id() LEAKPROOF": "identity_altered",
    "ALTER FUNCTION app.current_user_id() SET app.user_id = 'alice'": "identity_altered",
    "ALTER FUNCTION app.current_user_id() RESET search_path": "identity_altered",
    "CREATE FUNCTION public.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 'alice' $$;"
    f"{IDENTITY} SET search_path = '' RETURN nullif(public.current_setting('app.user_id', true), '')": (
        "identity_altered"
    ),
    "CREATE OR REPLACE FUNCTION app.advance_updated_at() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS "
    "$$ BEGIN NEW.owner_id := 'mallory'; RETURN NEW; END $$": "function_altered",
    "ALTER FUNCTION app.advance_updated_at() SECURITY DEFINER": "function_altered",
    "ALTER FUNCTION app.advance_updated_at() SET app.user_id = 'alice'": "function_altered",
    "ALTER FUNCTION app.advance_updated_at() PARALLEL SAFE STRICT": "function_altered",
    "CREATE OR REPLACE FUNCTION app.uuidv7() RETURNS uuid LANGUAGE sql PARALLEL SAFE SET search_path = '' "
    "RETURN md5(current_setting('app.user_id'))::uuid": "function_altered",
    "CREATE FUNCTION public.uuidv7() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';"
    "CREATE OR REPLACE FUNCTION app.uuidv7() RETURNS uuid LANGUAGE sql PARALLEL SAFE SET search_path = '' "
    "RETURN public.uuidv7()": "function_altered",
    "ALTER FUNCTION app.uuidv7() STABLE LEAKPROOF": "function_altered",
    # Whose it is
    "ALTER TABLE app.tasks OWNER TO postgres": "owner_wrong",
    "ALTER SCHEMA alembic OWNER TO todo_api": "owner_wrong",
    "ALTER FUNCTION app.uuidv7() OWNER TO postgres": "owner_wrong",
    "ALTER COLLATION app.unicode OWNER TO postgres": "owner_wrong",
    "CREATE TYPE app.mood AS ENUM ('fine'); CREATE DOMAIN app.name AS text; CREATE TYPE app.pair AS (a int, b int)": (
        "owner_wrong"
    ),
    "CREATE VIEW app.one AS SELECT 1 AS one; CREATE TYPE app.span AS RANGE (subtype = int)": "owner_wrong",
    "CREATE AGGREGATE app.total (int) (SFUNC = int4pl, STYPE = int)": "owner_wrong",
    "CREATE TABLE public.mine (); ALTER TABLE public.mine OWNER TO todo_api": "role_owns",
    # Grants
    "GRANT TRUNCATE ON app.tasks TO todo_api": "grant_past_rls",
    "GRANT REFERENCES (owner_id, id), TRIGGER ON app.tasks TO PUBLIC": "grant_past_rls",
    "GRANT ALL ON app.tasks TO todo_api": "grant_past_rls",
    "GRANT ALL ON ALL TABLES IN SCHEMA app, alembic TO todo_api; GRANT ALL ON ALL FUNCTIONS IN SCHEMA app TO PUBLIC": (
        "grant_past_rls"
    ),
    "GRANT USAGE ON SCHEMA app TO pg_monitor;"
    "GRANT SELECT, TRUNCATE ON app.tasks TO pg_monitor WITH GRANT OPTION; SET ROLE pg_monitor;"
    "GRANT SELECT, TRUNCATE ON app.tasks TO todo_api; RESET ROLE": "grant_past_rls",
    "GRANT SELECT ON app.tasks TO todo_api": "grant_table",
    "GRANT DELETE ON app.tasks TO PUBLIC": "grant_table",
    "GRANT INSERT, UPDATE ON app.idempotency_keys TO todo_api WITH GRANT OPTION": "grant_table",
    "GRANT SELECT ON alembic.alembic_version TO pg_monitor": "grant_table",
    "CREATE TABLE public.more (); GRANT SELECT ON public.more TO todo_api": "grant_table",
    "CREATE SEQUENCE alembic.numbers; GRANT USAGE ON SEQUENCE alembic.numbers TO PUBLIC": "grant_table",
    "GRANT UPDATE (owner_id) ON app.tasks TO todo_api": "grant_column",
    "GRANT INSERT (id, created_at) ON app.tasks TO todo_api": "grant_column",
    "GRANT SELECT (title) ON app.tasks TO PUBLIC, pg_monitor": "grant_column",
    "GRANT UPDATE (rolname) ON pg_catalog.pg_authid TO todo_api": "grant_column",
    "GRANT CREATE ON SCHEMA app TO todo_api": "grant_schema",
    "GRANT USAGE ON SCHEMA app TO PUBLIC": "grant_schema",
    "GRANT USAGE ON SCHEMA alembic TO todo_api": "grant_schema",
    "GRANT CREATE ON SCHEMA public TO PUBLIC": "grant_schema",
    "GRANT EXECUTE ON FUNCTION app.current_user_id() TO PUBLIC": "grant_function",
    "GRANT EXECUTE ON FUNCTION app.advance_updated_at() TO todo_api": "grant_function",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO todo_api": "grant_function",
    "DO $$ BEGIN EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO todo_api', current_database()); END $$": (
        "grant_database"
    ),
    "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO PUBLIC', current_database()); END $$": "grant_database",
    "GRANT SET ON PARAMETER session_replication_role TO PUBLIC": "grant_other",
    "GRANT USAGE ON LANGUAGE plpgsql TO todo_api": "grant_other",
    "SELECT lo_create(7046913); GRANT SELECT ON LARGE OBJECT 7046913 TO todo_api": "grant_other",
    "REVOKE SELECT (title) ON app.tasks FROM todo_api": "grant_missing",
    "REVOKE ALL ON app.tasks FROM todo_api": "grant_missing",
    "REVOKE USAGE ON SCHEMA app FROM todo_api": "grant_missing",
    "REVOKE EXECUTE ON FUNCTION app.uuidv7() FROM todo_api": "grant_missing",
    "GRANT SELECT (title) ON app.tasks TO todo_api WITH GRANT OPTION": "grant_option",
    "GRANT USAGE ON SCHEMA app TO todo_api WITH GRANT OPTION": "grant_option",
    "GRANT EXECUTE ON FUNCTION app.uuidv7() TO todo_api WITH GRANT OPTION": "grant_option",
    "ALTER DEFAULT PRIVILEGES FOR ROLE todo_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC": "grant_default",
    "ALTER DEFAULT PRIVILEGES FOR ROLE todo_owner IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC": "grant_default",
    "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO todo_api": "grant_default",
    # Settings
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET row_security = off', current_database()); END $$": (
        "setting_dangerous"
    ),
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.user_id = ''alice''', current_database()); END $$": (
        "setting_dangerous"
    ),
}

# The same, of roles, which belong to the whole cluster.
WEAKENED_ROLES = {
    "ALTER ROLE todo_api SUPERUSER": "role_attributes",
    "ALTER ROLE todo_api BYPASSRLS": "role_attributes",
    "ALTER ROLE todo_api CREATEROLE CREATEDB REPLICATION": "role_attributes",
    "ALTER ROLE todo_api INHERIT": "role_attributes",
    "ALTER ROLE todo_api NOLOGIN": "role_attributes",
    "ALTER ROLE todo_owner LOGIN": "role_attributes",
    "GRANT todo_owner TO todo_api": "role_member_of",
    "GRANT pg_read_all_data TO todo_owner": "role_member_of",
    "CREATE ROLE between; GRANT pg_monitor TO between; GRANT between TO todo_api WITH ADMIN OPTION": "role_member_of",
    "CREATE ROLE stand_in LOGIN; GRANT todo_api TO stand_in": "role_has_member",
    "CREATE ROLE migrator CREATEROLE; CREATE ROLE other; GRANT todo_owner TO migrator; GRANT migrator TO other": (
        "role_has_member"
    ),
    "ALTER ROLE todo_api SET app.user_id = 'alice'": "role_settings",
    "ALTER ROLE todo_api SET search_path = public, app": "role_settings",
    "ALTER ROLE todo_api RESET statement_timeout": "role_settings",
    "ALTER ROLE todo_api SET lock_timeout = '1h'": "role_settings",
    "ALTER ROLE todo_owner SET row_security = off": "role_settings",
    "DO $$ BEGIN EXECUTE format('ALTER ROLE todo_api IN DATABASE %I SET statement_timeout = 0', current_database()); "
    "END $$": "role_settings",
    "ALTER ROLE ALL SET search_path = public": "setting_dangerous",
}

# What no statement mends, or no statement brings about. Each has a test below.
BY_THEMSELVES = {"table_missing", "role_missing", "postgres_outdated"}


def of_this_database(found: list[Finding]) -> list[Finding]:
    """Without what concerns roles that tests/security/test_guard.py makes meanwhile, in another process."""
    return [finding for finding in found if not re.fullmatch("role_[0-9a-f]{8}", finding.object)]


async def look(connection: asyncpg.Connection) -> list[Finding]:
    """What all checks find, within the transaction of this connection."""
    await tell(connection, read_access())
    found = [finding for check in checks().values() for finding in await examine(connection, check)]
    return of_this_database(found)


@asynccontextmanager
async def undone(audited: Database) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that is rolled back, whatever happens: not even a role is changed for anybody else."""
    connection = await audited.as_superuser()
    try:
        transaction = connection.transaction()
        await transaction.start()
        yield connection
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def in_vain(audited: Database) -> AsyncIterator[asyncpg.Connection]:
    async with undone(audited) as connection:
        yield connection


async def assert_found_and_mended(connection: asyncpg.Connection, statement: str, check: str) -> None:
    await connection.execute(statement)
    found = await look(connection)
    assert check in {finding.check for finding in found}
    for finding in found:
        assert finding.mend.startswith("-- ") or finding.mend.endswith(";")
        await connection.execute(finding.mend)
    assert await look(connection) == []


def test_a_migrated_database_has_no_finding(audited: Database) -> None:
    assert of_this_database(findings(audited)) == []


@pytest.mark.parametrize("statement", WEAKENINGS)
async def test_a_weakening_is_found_and_its_mend_works(in_vain: asyncpg.Connection, statement: str) -> None:
    await assert_found_and_mended(in_vain, statement, WEAKENINGS[statement])


@pytest.mark.usefixtures("roles_to_itself")
@pytest.mark.parametrize("statement", WEAKENED_ROLES)
async def test_a_weakened_role_is_found_and_its_mend_works(in_vain: asyncpg.Connection, statement: str) -> None:
    await assert_found_and_mended(in_vain, statement, WEAKENED_ROLES[statement])


async def test_an_ordinary_role_finds_the_same(audited: Database) -> None:
    async with undone(audited) as connection:
        for statement in ("DROP POLICY wall ON app.tasks", "GRANT SELECT ON app.tasks TO PUBLIC"):
            await connection.execute(statement)
        await connection.execute("CREATE VIEW public.titles AS SELECT title FROM app.tasks")
        as_superuser = await look(connection)
        await connection.execute("SET LOCAL ROLE todo_api")
        assert await look(connection) == as_superuser != []


@pytest.mark.parametrize("search_path", ["app, public", "public, pg_catalog", "''"])
async def test_the_callers_search_path_changes_nothing(in_vain: asyncpg.Connection, search_path: str) -> None:
    await in_vain.execute(f"SET search_path = {search_path}; SET quote_all_identifiers = on")
    assert await look(in_vain) == []


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE app.tasks", "ALTER TABLE app.tasks DROP COLUMN status", "DROP SCHEMA app CASCADE"],
)
async def test_a_missing_table_or_column_is_found(in_vain: asyncpg.Connection, statement: str) -> None:
    await in_vain.execute(statement)
    assert "table_missing" in {finding.check for finding in await look(in_vain)}


@pytest.mark.parametrize("function", ["app.uuidv7()", "app.advance_updated_at()"])
async def test_a_missing_function_is_found(in_vain: asyncpg.Connection, function: str) -> None:
    await in_vain.execute(f"DROP FUNCTION {function} CASCADE")
    (found,) = await look(in_vain)
    assert (found.check, found.object) == ("function_altered", function)
    assert found.what.startswith("does not exist")


async def test_an_upgrade_to_postgres_18_leaves_a_function_that_is_no_finding(in_vain: asyncpg.Connection) -> None:
    (before_18,) = re.findall(r"ELSE\n\s+CREATE (FUNCTION app\.uuidv7.+?END;)\n", CREATE_TASKS, re.DOTALL)
    await in_vain.execute(f"CREATE OR REPLACE {before_18}")
    assert await look(in_vain) == []


async def test_a_missing_role_is_found_and_its_mend_works(in_vain: asyncpg.Connection) -> None:
    access = read_access()
    roles = access.roles | {"todo_worker": Role(login=True), "todo_group": Role(login=False)}
    await tell(in_vain, access.model_copy(update={"roles": roles}))
    missing = await examine(in_vain, checks()["role_missing"])
    assert [finding.object for finding in missing] == ["todo_group", "todo_worker"]
    for finding in missing:
        await in_vain.execute(finding.mend)
    found = [
        finding for name in ("role_missing", "role_attributes") for finding in await examine(in_vain, checks()[name])
    ]
    assert found == []


@pytest.mark.parametrize("check", checks())
async def test_nothing_need_exist_for_a_check_to_look(in_vain: asyncpg.Connection, check: str) -> None:
    access = read_access()
    renamed = {name.replace("todo_", "nobody_"): role for name, role in access.roles.items()}
    await in_vain.execute("DROP SCHEMA app, alembic CASCADE; SET TRANSACTION READ ONLY")
    await tell(in_vain, access.model_copy(update={"roles": renamed}))
    await examine(in_vain, checks()[check])


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("150002", ["has CVE-2023-2455, CVE-2023-39418, CVE-2024-4317, CVE-2024-10976, CVE-2024-10978, CVE-2025-8713"]),
        ("150013", ["has CVE-2025-8713"]),
        ("160009", ["has CVE-2025-8713"]),
        ("170005", ["has CVE-2025-8713"]),
        ("140022", ["is older than this product has been tried on"]),
        ("150014", []),
        ("160010", []),
        ("170006", []),
        ("180000", []),
    ],
)
async def test_a_postgres_with_known_faults_is_found(
    in_vain: asyncpg.Connection, version: str, said: list[str]
) -> None:
    sql = checks()["postgres_outdated"].how.replace("current_setting('server_version_num')", f"'{version}'")
    assert [row[1] for row in await in_vain.fetch(sql)] == said


async def test_an_owner_that_is_not_text_is_found(in_vain: asyncpg.Connection) -> None:
    await in_vain.execute(
        "DROP POLICY wall ON app.tasks; DROP POLICY door ON app.tasks;ALTER TABLE app.tasks ALTER owner_id TYPE varchar"
    )
    assert "owner_column_altered" in {finding.check for finding in await look(in_vain)}


async def test_a_caller_that_is_set_before_anybody_asked_is_found(in_vain: asyncpg.Connection) -> None:
    await in_vain.execute("SET app.user_id = 'alice'; SET session_replication_role = 'replica'")
    assert [finding.object for finding in await look(in_vain)] == ["this session"] * 2


@pytest.mark.usefixtures("roles_to_itself")
async def test_whoever_migrates_may_be_a_member(in_vain: asyncpg.Connection) -> None:
    """Since Postgres 16 whoever makes a role is a member that may grant it, and no more."""
    await in_vain.execute("CREATE ROLE migrator CREATEROLE; GRANT todo_owner TO migrator")
    if in_vain.get_server_version().major >= 16:
        await in_vain.execute("GRANT todo_api TO migrator WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    assert await look(in_vain) == []


def test_every_check_finds_something() -> None:
    assert set(checks()) == {*WEAKENINGS.values(), *WEAKENED_ROLES.values(), *BY_THEMSELVES}
