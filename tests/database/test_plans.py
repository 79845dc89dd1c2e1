"""What Postgres does for each list, among a million tasks of 10,000 users: it reads the caller's rows and no others."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from service.tasks import statements
from service.tasks.listing import ListTasks, TaskSort
from tests.conftest import Database

USERS, TASKS_EACH, MANY = 10_000, 99, 10_000
SOMEBODY, BUSY = "user-5000", "busy"

FILTERS: dict[str, dict[str, Any]] = {
    "status": {"status": ["Todo", "Done"]},
    "q": {"q": "task"},
    "updated_since": {"updated_since": "2026-01-01T00:00:00Z"},
}
SETS = [names for size in range(4) for names in itertools.combinations(FILTERS, size)]
PAGES = list(itertools.product(TaskSort, SETS, (False, True)))

INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'app' AND tablename = 'tasks'"
FILL = """
INSERT INTO app.tasks (owner_id, id, title, status, created_at, updated_at)
SELECT CASE WHEN number <= $1 THEN 'busy' ELSE 'user-' || number % $2 END, gen_random_uuid(), 'task ' || number,
       (ARRAY['Todo', 'InProgress', 'Done'])[number % 3 + 1],
       timestamptz '2026-11-21 09:00Z' - number * interval '1 second',
       timestamptz '2026-11-21 09:00Z' - number * interval '0.7 seconds'
  FROM generate_series(1, $3) AS number
"""


@pytest_asyncio.fixture
async def a_million_tasks(make_database: Callable[[], Database]) -> AsyncIterator[asyncpg.Connection]:
    """A connection of todo_api to a database with as many tasks; of everybody but one user, 99 each."""
    database = await asyncio.to_thread(make_database)
    admin = await database.as_superuser()
    indexes = [row["indexdef"] for row in await admin.fetch(INDEXES)]
    await admin.execute("ALTER TABLE app.tasks DROP CONSTRAINT tasks_pkey")
    for index in indexes:
        await admin.execute(f"DROP INDEX IF EXISTS app.{index.split()[2 if 'UNIQUE' not in index else 3]}")
    await admin.execute("SET maintenance_work_mem = '256MB'")
    await admin.execute(FILL, MANY, USERS, USERS * TASKS_EACH + MANY)
    for index in indexes:
        await admin.execute(index)
    await admin.execute("ANALYZE app.tasks")
    await admin.close()
    api = await database.as_api()
    yield api
    await api.close()


async def explain(api: asyncpg.Connection, user: str, statement: Any, values: dict[str, Any], mode: str) -> Any:
    compiled = statement.compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]  # SQLAlchemy's own
    arguments = [(compiled.params | values)[name] for name in compiled.positiontup]
    async with api.transaction():
        await api.execute(f"SET LOCAL app.user_id = '{user}'")
        await api.execute(f"SET LOCAL plan_cache_mode = {mode}")
        plan = await api.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}", *arguments)
    return json.loads(plan)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_read(plan: dict[str, Any]) -> float:
    """How many rows of the table were looked at, those that a filter then removed included."""
    counts = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(
        float(node.get(count, 0) * node["Actual Loops"])
        for node in nodes(plan)
        for count in counts
        if node.get("Relation Name") == "tasks"
    )


def page(sort: TaskSort, filters: tuple[str, ...], after: bool, limit: int = 100) -> tuple[Any, dict[str, Any]]:
    query = ListTasks(sort=sort, limit=limit, **{name: value for f in filters for name, value in FILTERS[f].items()})
    values = query.parameters()
    if after:
        key: Any = "task 5" if sort.column == "title" else datetime(2026, 11, 21, 8, tzinfo=UTC)
        values |= {"after": key, "after_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    return statements.list_of(sort.column, sort.descending, query.filters, after), values


async def test_a_caller_costs_postgres_their_own_rows(
    a_million_tasks: asyncpg.Connection, subtests: pytest.Subtests
) -> None:
    """One test, so that the tasks are made once."""
    for mode in ("force_custom_plan", "force_generic_plan"):
        for sort, filters, after in PAGES:
            with subtests.test("no list reads another's rows", mode=mode, sort=sort, filters=filters, after=after):
                await no_list_reads_anothers_rows(a_million_tasks, sort, filters, after, mode)
        for sort in (sort for sort in TaskSort if sort.column != "title"):
            with subtests.test("a page in the order of time costs the page and not the list", mode=mode, sort=sort):
                plan = await explain(a_million_tasks, BUSY, *page(sort, (), after=True, limit=20), mode)
                assert rows_read(plan) == 21
        for statement in (statements.GET, statements.delete_one(if_unchanged=False)):
            with subtests.test("a single task is found by its key", mode=mode):
                await a_task_is_found_by_its_key(a_million_tasks, statement, mode)


async def no_list_reads_anothers_rows(
    api: asyncpg.Connection, sort: TaskSort, filters: tuple[str, ...], after: bool, mode: str
) -> None:
    """And who is asking is found out once, by an InitPlan."""
    plan = await explain(api, SOMEBODY, *page(sort, filters, after), mode)
    for node in nodes(plan):
        if "Scan" in node["Node Type"] and node["Node Type"] != "Bitmap Heap Scan":
            assert re.search(r"owner_id = (\(InitPlan 1\)\.col1|\$\d+)", node.get("Index Cond", "")), plan
    assert rows_read(plan) <= TASKS_EACH, plan
    (asked,) = [node for node in nodes(plan) if node.get("Parent Relationship") == "InitPlan"]
    assert asked["Actual Loops"] == 1, plan
    assert not [node for node in nodes(plan) if node.get("Parent Relationship") == "SubPlan"], plan


async def a_task_is_found_by_its_key(api: asyncpg.Connection, statement: Any, mode: str) -> None:
    values = {"task_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    plan = await explain(api, SOMEBODY, statement, values, mode)
    (scan,) = [node for node in nodes(plan) if node["Node Type"].startswith("Index Scan")]
    assert scan["Index Name"] == "tasks_pkey"
    assert rows_read(plan) == 0
