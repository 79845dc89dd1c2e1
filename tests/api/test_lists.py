"""Filters, orders and pages of lists."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.test_refusals import problem
from tests.api.test_tasks import create
from tests.conftest import Client

SORTS = ["-created_at", "created_at", "-updated_at", "updated_at", "title", "-title"]


async def titles(client: httpx.AsyncClient, **query: Any) -> list[str]:
    response = await client.get("/tasks", params=query)
    assert response.status_code == 200, response.text
    return [task["title"] for task in response.json()]


async def pages(client: httpx.AsyncClient, **query: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """Follow the Link header to the end."""
    response = await client.get("/tasks", params=query)
    while True:
        assert response.status_code == 200, response.text
        yield response.json()
        if "link" not in response.headers:
            return
        assert re.fullmatch(r'</tasks\?[!-~]+>; rel="next"', response.headers["link"])
        response = await client.get(response.links["next"]["url"])


async def everything(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    return [task async for page in pages(client, **query) for task in page]


# --- filters ---


async def test_a_status_may_be_asked_for_alone_or_with_others(client: Client) -> None:
    alice = client()
    for status in ("Todo", "InProgress", "Done"):
        await create(alice, title=status, status=status)
    assert await titles(alice, status="Done") == ["Done"]
    assert await titles(alice, status=["Done", "Todo"]) == ["Done", "Todo"]
    assert await titles(alice, status=["Done", "Done", "Todo"]) == ["Done", "Todo"]


@pytest.mark.parametrize(
    ("title", "description", "q", "found"),
    [
        ("Buy milk", None, "MILK", True),
        ("Buy milk", None, "y m", True),
        ("Buy milk", None, "ilk b", False),
        ("x", "Two litres of Milk", "milk", True),
        ("100 % wool", None, "0 % w", True),
        ("100 percent wool", None, "0 % w", False),
        ("snake_case", None, "E_C", True),
        ("snakeXcase", None, "E_C", False),
        (r"C:\temp", None, r":\t", True),
        (r"C:\temp", None, r"\\", False),
        (r"50\%", None, r"\%", True),
        ("Ärger mit Größe", None, "äRGER MIT GRÖ", True),
        ("ЗАДАЧА", None, "задача", True),
        ("ΑΒΓ", None, "αβγ", True),
        ("日本語", None, "本", True),
        ("a'b\"c;--", None, "'B\"C;--", True),
        ("anything", None, "%", False),
        ("anything", None, "_", False),
        ("  ", "two spaces", "  ", False),
    ],
)
async def test_q_finds_text_in_whichever_case_and_means_each_character_as_it_is(
    client: Client, title: str, description: str | None, q: str, found: bool
) -> None:
    alice = client()
    await create(alice, title=title if title.strip() else "x", description=description)
    assert bool(await titles(alice, q=q)) is found


async def test_updated_since_takes_the_instant_itself_and_any_offset(client: Client) -> None:
    alice = client()
    await create(alice, title="before")
    task = await create(alice, title="then")
    await create(alice, title="after")
    since = task["updated_at"]
    elsewhere = datetime.fromisoformat(since).astimezone(tz=None).isoformat()
    in_india = (datetime.fromisoformat(since) + timedelta(hours=5.5)).strftime("%Y-%m-%dT%H:%M:%S.%f+05:30")
    for spelling in (since, since.lower(), elsewhere, in_india):
        assert await titles(alice, updated_since=spelling) == ["after", "then"], spelling


async def test_a_changed_task_is_found_by_the_time_of_its_change(client: Client) -> None:
    alice = client()
    old = await create(alice, title="old")
    since = (await create(alice, title="new"))["updated_at"]
    await alice.patch(f"/tasks/{old['id']}", json={"status": "Done"})
    assert await titles(alice, updated_since=since, sort="updated_at") == ["new", "old"]


async def test_filters_narrow_together(client: Client) -> None:
    alice = client()
    await create(alice, title="milk", status="Done")
    await create(alice, title="milk", status="Todo")
    since = (await create(alice, title="bread", status="Done"))["updated_at"]
    await create(alice, title="Milk!", status="Done")
    assert await titles(alice, q="milk", status="Done") == ["Milk!", "milk"]
    assert await titles(alice, q="milk", status="Done", updated_since=since) == ["Milk!"]


# --- order ---


@pytest.mark.parametrize("sort", SORTS)
async def test_a_list_is_in_the_order_that_is_asked_for(client: Client, sort: str) -> None:
    alice = client()
    made = await asyncio.gather(*(create(alice, title=random.choice("abcABCäÄ🙂")) for _ in range(30)))  # noqa: S311
    for task in random.sample(made, 10):
        await alice.patch(f"/tasks/{task['id']}", json={"status": "Done"})
    listed = await everything(alice, sort=sort)
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    assert [task["id"] for task in listed] == [
        task["id"] for task in sorted(listed, key=lambda task: (task[key], task["id"]), reverse=descending)
    ]
    assert len(listed) == 30


# --- pages ---


async def test_the_last_page_has_no_link(client: Client) -> None:
    alice = client()
    for number in range(4):
        await create(alice, title=str(number))
    assert [len(page) async for page in pages(alice, limit=2)] == [2, 2]
    assert [len(page) async for page in pages(alice, limit=3)] == [3, 1]
    assert [len(page) async for page in pages(alice, limit=4)] == [4]
    assert [len(page) async for page in pages(client(), limit=4)] == [0]


async def test_the_link_repeats_what_was_asked_for(client: Client) -> None:
    alice = client()
    for number in range(5):
        await create(alice, title=f"ä %&=+# {number}", status="Done")
        await create(alice, title="other")
    asked: dict[str, Any] = {"q": "ä %&=+# ", "status": ["Done", "Todo"], "sort": "title", "limit": 2}
    found = await everything(alice, **asked, updated_since="2026-01-01T00:00:00+00:00")
    assert [task["title"] for task in found] == [f"ä %&=+# {number}" for number in range(5)]


async def test_skip_leaves_out_the_first_and_the_next_page_goes_on(client: Client) -> None:
    alice = client()
    for number in range(6):
        await create(alice, title=str(number))
    assert await titles(alice, skip=2, limit=2) == ["3", "2"]
    assert [task["title"] for task in await everything(alice, skip=1, limit=2)] == ["4", "3", "2", "1", "0"]
    assert await titles(alice, skip=10) == []


@pytest.mark.parametrize("sort", SORTS)
async def test_tasks_that_are_alike_stand_once_on_the_pages(client: Client, sort: str) -> None:
    alice = client()
    for _ in range(7):
        await create(alice, title="same")
    ids = [task["id"] for task in await everything(alice, sort=sort, limit=2)]
    assert len(ids) == len(set(ids)) == 7


@pytest.mark.parametrize("sort", SORTS)
async def test_paging_while_others_write_neither_repeats_nor_skips_an_untouched_task(client: Client, sort: str) -> None:
    alice = client()
    kept = {
        task["id"] for task in await asyncio.gather(*(create(alice, title=f"{number % 7}") for number in range(24)))
    }
    reading = True

    async def write() -> None:
        mine: list[str] = []
        while reading:
            if len(mine) < 10 and random.random() < 0.6:  # noqa: S311
                mine.append((await create(alice, title=str(random.randrange(7))))["id"])  # noqa: S311
            elif mine:
                await alice.delete(f"/tasks/{mine.pop(random.randrange(len(mine)))}")  # noqa: S311

    writers = [asyncio.create_task(write()) for _ in range(4)]
    for _ in range(34):
        ids = [task["id"] for task in await everything(alice, sort=sort, limit=9)]
        assert len(ids) == len(set(ids))
        assert kept <= set(ids)
    reading = False
    await asyncio.gather(*writers)


# --- cursors ---


@pytest.fixture
async def next_page(client: Client) -> tuple[httpx.AsyncClient, httpx.QueryParams]:
    """Somebody with two pages, and the query of the second."""
    alice = client()
    for number in range(3):
        await create(alice, title=f"milk {number}")
    query: dict[str, Any] = {"limit": 2, "sort": "title", "q": "milk", "status": "Todo"}
    first = await alice.get("/tasks", params=query)
    return alice, httpx.URL(first.links["next"]["url"]).params


def refused(response: httpx.Response) -> bool:
    body = problem(response, 422, "invalid_request")
    return [(error["pointer"], error["code"]) for error in body["errors"]] == [("/query/cursor", "invalid_cursor")]


async def test_a_cursor_with_any_character_changed_is_refused(
    next_page: tuple[httpx.AsyncClient, httpx.QueryParams],
) -> None:
    alice, query = next_page
    cursor = query["cursor"]
    assert (await alice.get("/tasks", params=query)).status_code == 200
    for place, character in enumerate(cursor):
        other = "B" if character == "A" else "A"
        for changed in (other, chr(ord(character) ^ 1), ""):
            spoilt = cursor[:place] + changed + cursor[place + 1 :]
            assert refused(await alice.get("/tasks", params=query.set("cursor", spoilt))), (place, changed)


@pytest.mark.parametrize("cursor", ["", ".", "x", "W10.x", "é", "%", "a.b.c", "=" * 50, "A" * 4097])
async def test_what_is_no_cursor_is_refused(client: Client, cursor: str) -> None:
    response = await client().get("/tasks", params={"cursor": cursor})
    assert [error["pointer"] for error in problem(response, 422, "invalid_request")["errors"]] == ["/query/cursor"]


async def test_a_cursor_is_its_callers_alone(
    client: Client, next_page: tuple[httpx.AsyncClient, httpx.QueryParams]
) -> None:
    _, query = next_page
    bob = client()
    for number in range(3):
        await create(bob, title=f"milk {number}")
    assert refused(await bob.get("/tasks", params=query))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("sort", "-title"),
        ("sort", "created_at"),
        ("q", "mil"),
        ("status", "Done"),
        ("updated_since", "2026-01-01T00:00:00Z"),
    ],
)
async def test_a_cursor_is_for_its_filter_and_its_order_alone(
    next_page: tuple[httpx.AsyncClient, httpx.QueryParams], parameter: str, value: str
) -> None:
    alice, query = next_page
    assert refused(await alice.get("/tasks", params=query.set(parameter, value)))
    for left_out in ("sort", "q", "status"):
        assert refused(await alice.get("/tasks", params=query.remove(left_out)))


async def test_a_page_may_be_of_another_size(next_page: tuple[httpx.AsyncClient, httpx.QueryParams]) -> None:
    alice, query = next_page
    assert [task["title"] for task in (await alice.get("/tasks", params=query.set("limit", 200))).json()] == ["milk 2"]


async def test_skip_and_cursor_are_not_for_each_other(
    next_page: tuple[httpx.AsyncClient, httpx.QueryParams],
) -> None:
    alice, query = next_page
    response = await alice.get("/tasks", params=query.set("skip", 0))
    body = problem(response, 422, "invalid_request")
    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [("/query/skip", "conflict")]


async def test_a_cursor_outlives_the_task_that_it_begins_after(client: Client) -> None:
    alice = client()
    ids = [(await create(alice))["id"] for _ in range(4)]
    first = await alice.get("/tasks", params={"limit": 2})
    await alice.delete(f"/tasks/{ids[2]}")
    rest = await alice.get(first.links["next"]["url"])
    assert [task["id"] for task in rest.json()] == [ids[1], ids[0]]


# --- what is refused ---


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=done", ("/query/status/0", "not_allowed")),
        ("status=Todo&status=", ("/query/status/1", "not_allowed")),
        ("status=Todo&status=Todo&status=Todo&status=Todo", ("/query/status", "too_long")),
        ("q=", ("/query/q", "too_short")),
        ("q=" + "x" * 256, ("/query/q", "too_long")),
        ("q=%00", ("/query/q", "nul")),
        ("q=%ED%A0%80", ("/query", "not_unicode")),
        ("q=%FF", ("/query", "not_unicode")),
        ("%FF=x", ("/query", "not_unicode")),
        ("q=a&q=b", ("/query/q", "repeated")),
        ("limit=1&limit=1", ("/query/limit", "repeated")),
        ("sort=title&sort=title", ("/query/sort", "repeated")),
        ("sort=", ("/query/sort", "not_allowed")),
        ("sort=owner_id", ("/query/sort", "not_allowed")),
        ("sort=title,id", ("/query/sort", "not_allowed")),
        ("updated_since=2026-11-21", ("/query/updated_since", "not_a_time")),
        ("updated_since=2026-11-21T09:00:00", ("/query/updated_since", "not_a_time")),
        ("updated_since=2026-11-21T09:00:00+01:00", ("/query/updated_since", "not_a_time")),
        ("updated_since=2026-11-31T09:00:00Z", ("/query/updated_since", "not_a_time")),
        ("updated_since=2026-11-21T25:00:00Z", ("/query/updated_since", "not_a_time")),
        ("updated_since=0001-01-01T00:00:00%2B14:00", ("/query/updated_since", "not_a_time")),
        ("updated_since=1763715600", ("/query/updated_since", "not_a_time")),
        ("updated_since=", ("/query/updated_since", "not_a_time")),
        ("owner_id=alice", ("/query", "unknown")),
        ("user_id=alice&limit=x", ("/query", "unknown")),
    ],
)
async def test_a_wrong_filter_is_named(client: Client, query: str, expected: tuple[str, str]) -> None:
    body = problem(await client().get(f"/tasks?{query}"), 422, "invalid_request")
    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [expected]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a_single_task_takes_no_parameter(client: Client, method: str) -> None:
    alice = client()
    task = await create(alice)
    body: dict[str, Any] = {"json": {"title": "x"}} if method in ("PUT", "PATCH") else {}
    response = await alice.request(method, f"/tasks/{task['id']}?force=true", **body)
    assert problem(response, 422, "invalid_request")["errors"][0]["code"] == "unknown"
    assert (await alice.get(f"/tasks/{task['id']}")).json() == task


async def test_post_takes_no_parameter(client: Client) -> None:
    alice = client()
    problem(await alice.post("/tasks?owner_id=bob", json={"title": "x"}), 422, "invalid_request")
    assert await titles(alice) == []
