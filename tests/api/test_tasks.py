"""The six operations, as docs and contract promise them."""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.conftest import Client, Database

RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


async def create(client: httpx.AsyncClient, **task: object) -> dict[str, Any]:
    response = await client.post("/tasks", json={"title": "Buy milk"} | task)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_a_created_task_has_every_field_and_an_address(client: Client) -> None:
    alice = client("alice")
    response = await alice.post("/tasks", json={"title": "Buy milk"})
    task = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/tasks/{task['id']}"
    assert response.headers["content-type"] == "application/json"
    assert {**task, "id": 0, "created_at": 0, "updated_at": 0} == {
        "id": 0,
        "title": "Buy milk",
        "description": None,
        "status": "Todo",
        "created_at": 0,
        "updated_at": 0,
        "owner_id": "alice",
    }
    assert RFC3339_UTC.fullmatch(task["created_at"])
    assert task["updated_at"] == task["created_at"]
    assert (await alice.get(response.headers["location"])).json() == task


async def test_a_task_is_created_with_all_that_was_sent(client: Client) -> None:
    task = await create(client(), title="Tea", description="Green", status="InProgress")
    assert (task["title"], task["description"], task["status"]) == ("Tea", "Green", "InProgress")


async def test_two_tasks_may_have_the_same_title(client: Client) -> None:
    alice = client()
    assert (await create(alice))["id"] != (await create(alice))["id"]


async def test_text_is_stored_exactly_as_sent(client: Client) -> None:
    text = "  é e\u0301 \u200b🏳️‍🌈 <b>\\' \"--;\n\t\U0010ffff "
    task = await create(client(), title=text, description=text)
    assert (task["title"], task["description"]) == (text, text)


async def test_put_replaces_and_what_is_left_out_goes_back_to_its_default(client: Client) -> None:
    alice = client()
    task = await create(alice, description="Two litres", status="Done")
    response = await alice.put(f"/tasks/{task['id']}", json={"title": "Tea"})
    assert response.status_code == 200
    replaced = response.json()
    assert (replaced["title"], replaced["description"], replaced["status"]) == ("Tea", None, "Todo")
    assert replaced["created_at"] == task["created_at"]


async def test_what_was_read_can_be_put_back(client: Client) -> None:
    alice = client()
    task = await create(alice, description="Two litres", status="Done")
    response = await alice.put(f"/tasks/{task['id']}", json=task)
    assert response.status_code == 200
    assert response.json() | {"updated_at": 0} == task | {"updated_at": 0}


@pytest.mark.parametrize("method", ["post", "put", "patch"])
async def test_what_the_database_sets_is_ignored_in_a_body(client: Client, method: str) -> None:
    alice = client("alice")
    task = await create(alice)
    theirs = {"id": "x", "owner_id": "bob", "created_at": 5, "updated_at": None, "title": "Tea"}
    path = "/tasks" if method == "post" else f"/tasks/{task['id']}"
    answer = (await alice.request(method, path, json=theirs)).json()
    assert (answer["title"], answer["owner_id"]) == ("Tea", "alice")
    assert RFC3339_UTC.fullmatch(answer["created_at"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "Tea"}, ("Tea", "Two litres", "InProgress")),
        ({"description": "One"}, ("Buy milk", "One", "InProgress")),
        ({"description": None}, ("Buy milk", None, "InProgress")),
        ({"status": "Done"}, ("Buy milk", "Two litres", "Done")),
        ({"title": "Tea", "status": "Todo"}, ("Tea", "Two litres", "Todo")),
        ({"title": "Tea", "description": None, "status": "Todo"}, ("Tea", None, "Todo")),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_patch_changes_what_is_given(
    client: Client, changes: dict[str, object], expected: tuple[object, ...], media_type: str
) -> None:
    alice = client()
    task = await create(alice, description="Two litres", status="InProgress")
    response = await alice.patch(f"/tasks/{task['id']}", json=changes, headers={"content-type": media_type})
    patched = response.json()
    assert response.status_code == 200
    assert (patched["title"], patched["description"], patched["status"]) == expected


async def test_an_empty_patch_changes_nothing(client: Client) -> None:
    alice = client()
    task = await create(alice)
    response = await alice.patch(f"/tasks/{task['id']}", json={})
    assert (response.status_code, response.json()) == (200, task)


async def test_updated_at_grows_with_every_change(client: Client) -> None:
    alice = client()
    task = await create(alice)
    seen = [datetime.fromisoformat(str(task["updated_at"]))]
    for _ in range(5):
        answer = await alice.patch(f"/tasks/{task['id']}", json={"title": "Same"})
        seen.append(datetime.fromisoformat(answer.json()["updated_at"]))
    assert seen == sorted(set(seen))


async def test_a_deleted_task_is_gone(client: Client) -> None:
    alice = client()
    task = await create(alice)
    response = await alice.delete(f"/tasks/{task['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
    assert (await alice.get(f"/tasks/{task['id']}")).status_code == 404
    assert (await alice.delete(f"/tasks/{task['id']}")).status_code == 404


async def test_a_list_is_newest_first(client: Client) -> None:
    alice = client()
    tasks = [await create(alice, title=str(number)) for number in range(5)]
    response = await alice.get("/tasks")
    assert response.status_code == 200
    assert response.json() == tasks[::-1]


async def test_a_list_of_nothing_is_empty(client: Client) -> None:
    response = await client().get("/tasks")
    assert (response.status_code, response.json()) == (200, [])


async def test_limit_and_skip_cut_the_list(client: Client) -> None:
    alice = client()
    newest_first = [await create(alice, title=str(number)) for number in range(5)][::-1]
    assert (await alice.get("/tasks?limit=2")).json() == newest_first[:2]
    assert (await alice.get("/tasks?limit=2&skip=2")).json() == newest_first[2:4]
    assert (await alice.get("/tasks?skip=4")).json() == newest_first[4:]
    assert (await alice.get("/tasks?skip=5")).json() == []


async def test_a_list_has_a_hundred_tasks_unless_asked_otherwise(client: Client) -> None:
    alice = client()
    for _ in range(101):
        await create(alice)
    assert len((await alice.get("/tasks")).json()) == 100
    assert len((await alice.get("/tasks?limit=200")).json()) == 101


@pytest.mark.parametrize("path", ["/tasks", "/tasks/{id}"])
async def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    alice = client()
    task = await create(alice)
    path = path.format(id=task["id"])
    get, head = await alice.get(path), await alice.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for answer in (get, head):
        del answer.headers["x-request-id"]
    assert head.headers == get.headers


async def test_an_id_is_read_in_either_case(client: Client) -> None:
    alice = client()
    task = await create(alice)
    assert (await alice.get(f"/tasks/{str(task['id']).upper()}")).json() == task


async def test_ids_are_version_7_and_grow(client: Client) -> None:
    alice = client()
    ids = [str((await create(alice))["id"]) for _ in range(20)]
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", each) for each in ids
    )
    assert ids == sorted(ids)


async def test_what_was_answered_is_there_for_everybody_else(client: Client, database: Database) -> None:
    """Committed before the answer: another connection sees it at once."""
    alice, other = client(), await database.as_superuser()
    title = "SELECT title FROM app.tasks WHERE id = $1"
    for number in range(20):
        task = await create(alice, title=f"created {number}")
        assert await other.fetchval(title, task["id"]) == f"created {number}"
        for method in ("PUT", "PATCH"):
            response = await alice.request(method, f"/tasks/{task['id']}", json={"title": f"{method} {number}"})
            assert response.status_code == 200
            assert await other.fetchval(title, task["id"]) == f"{method} {number}"
        assert (await alice.delete(f"/tasks/{task['id']}")).status_code == 204
        assert await other.fetchval(title, task["id"]) is None
    await other.close()
