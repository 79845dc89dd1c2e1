"""ETag, If-None-Match and If-Match: nothing is sent twice, and no write is lost."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.api.test_refusals import SOME_ID, problem
from tests.api.test_tasks import create
from tests.conftest import Client, Database, new_user

WRITES: list[tuple[str, dict[str, Any]]] = [
    ("PUT", {"json": {"title": "changed"}}),
    ("PATCH", {"json": {"title": "changed"}}),
    ("DELETE", {}),
]


async def etag(client: httpx.AsyncClient, path: str) -> str:
    return (await client.get(path)).headers["etag"]


@pytest.fixture
async def alice(client: Client) -> httpx.AsyncClient:
    made: httpx.AsyncClient = client()
    return made


@pytest.fixture
async def path(alice: httpx.AsyncClient) -> str:
    return f"/tasks/{(await create(alice))['id']}"


# --- ETag ---


async def test_every_answer_with_a_task_has_its_strong_etag(alice: httpx.AsyncClient) -> None:
    created = await alice.post("/tasks", json={"title": "x"})
    path = created.headers["location"]
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', created.headers["etag"])
    assert await etag(alice, path) == created.headers["etag"]
    for method in ("PUT", "PATCH"):
        before = await etag(alice, path)
        changed = await alice.request(method, path, json={"title": "x"})
        assert changed.headers["etag"] not in (None, before)
        assert await etag(alice, path) == changed.headers["etag"]


async def test_another_shape_of_tasks_has_other_etags(
    alice: httpx.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a release that adds a member: what clients have is not the same representation any more."""
    before = [await etag(alice, url) for url in (path, "/tasks")]
    monkeypatch.setattr("service.tasks.etags._SHAPE", "5f3a")
    assert not {*before} & {await etag(alice, url) for url in (path, "/tasks")}


async def test_a_patch_of_nothing_leaves_the_etag(alice: httpx.AsyncClient, path: str) -> None:
    before = await alice.get(path)
    patched = await alice.patch(path, json={})
    assert (patched.status_code, patched.json(), patched.headers["etag"]) == (
        200,
        before.json(),
        before.headers["etag"],
    )


async def test_updated_at_strictly_increases_however_fast_the_changes_come(alice: httpx.AsyncClient, path: str) -> None:
    answers = await asyncio.gather(*(alice.patch(path, json={"status": "Done"}) for _ in range(30)))
    times = [answer.json()["updated_at"] for answer in answers]
    assert len(set(times)) == 30
    assert (await alice.get(path)).json()["updated_at"] == max(times)


# --- If-None-Match ---


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("listed", ["{}", "W/{}", '"other", {}', '{},"other"', " , {} ,", "*"])
async def test_what_is_known_is_not_sent_again(alice: httpx.AsyncClient, path: str, method: str, listed: str) -> None:
    for url in (path, "/tasks"):
        full = await alice.request(method, url)
        known = full.headers["etag"].removeprefix("W/")
        answer = await alice.request(method, url, headers={"If-None-Match": listed.format(known)})
        assert (answer.status_code, answer.content) == (304, b"")
        assert "content-type" not in answer.headers
        for name in ("etag", "cache-control", "vary"):
            assert answer.headers[name] == full.headers[name]


@pytest.mark.parametrize("known", ['"other"', 'W/"other"', '""'])
async def test_what_is_not_known_is_sent(alice: httpx.AsyncClient, path: str, known: str) -> None:
    for url in (path, "/tasks"):
        answer = await alice.get(url, headers={"If-None-Match": known})
        assert answer.status_code == 200
        assert answer.json()


async def test_a_changed_task_is_sent(alice: httpx.AsyncClient, path: str) -> None:
    known = {"If-None-Match": await etag(alice, path)}
    await alice.patch(path, json={"status": "Done"})
    assert (await alice.get(path, headers=known)).status_code == 200


async def test_a_list_has_another_weak_etag_after_any_change_of_it(alice: httpx.AsyncClient) -> None:
    seen = [await etag(alice, "/tasks")]
    task = await create(alice)
    seen.append(await etag(alice, "/tasks"))
    await alice.patch(f"/tasks/{task['id']}", json={"status": "Done"})
    seen.append(await etag(alice, "/tasks"))
    await create(alice)
    seen.append(await etag(alice, "/tasks"))
    await alice.delete(f"/tasks/{task['id']}")
    seen.append(await etag(alice, "/tasks"))
    assert len(set(seen)) == 5
    assert all(tag.startswith('W/"') for tag in seen)


async def test_a_page_has_another_etag_when_there_is_a_next_one(alice: httpx.AsyncClient) -> None:
    await create(alice)
    oldest_first = "/tasks?limit=1&sort=created_at"
    alone = await etag(alice, oldest_first)
    await create(alice)
    answer = await alice.get(oldest_first, headers={"If-None-Match": alone})
    assert answer.status_code == 200
    assert "link" in answer.headers
    again = await alice.get(oldest_first, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.headers["link"]) == (304, answer.headers["link"])


async def test_another_task_of_the_same_time_is_another_list(client: Client, database: Database) -> None:
    user = new_user()
    admin, alice = await database.as_superuser(), client(user)
    insert = "INSERT INTO app.tasks (owner_id, title, updated_at) VALUES ($1, 'x', '2026-11-21 09:00Z')"
    await admin.execute(insert, user)
    before = await etag(alice, "/tasks")
    await admin.execute("DELETE FROM app.tasks WHERE owner_id = $1", user)
    await admin.execute(insert, user)
    await admin.close()
    assert await etag(alice, "/tasks") != before


async def test_two_users_lists_are_two_representations(client: Client) -> None:
    one, other = client(), client()
    await create(one)
    await create(other)
    assert await etag(one, "/tasks") != await etag(other, "/tasks")


# --- If-Match ---


@pytest.mark.parametrize(("method", "body"), WRITES)
@pytest.mark.parametrize("listed", ["{}", '"other", {}', "*"])
async def test_a_task_that_is_still_the_same_is_changed(
    alice: httpx.AsyncClient, path: str, method: str, body: dict[str, Any], listed: str
) -> None:
    headers = {"If-Match": listed.format(await etag(alice, path))}
    answer = await alice.request(method, path, headers=headers, **body)
    assert answer.status_code == (204 if method == "DELETE" else 200)


@pytest.mark.parametrize(("method", "body"), [*WRITES, ("PATCH", {"json": {}})])
@pytest.mark.parametrize("listed", ['"other"', "W/{}", '"other", W/{}', '"ffffffff-ffffffffffffff"', '""'])
async def test_a_task_that_is_another_by_now_is_left_alone(
    alice: httpx.AsyncClient, path: str, method: str, body: dict[str, Any], listed: str
) -> None:
    before = await alice.get(path)
    headers = {"If-Match": listed.format(before.headers["etag"])}
    problem(await alice.request(method, path, headers=headers, **body), 412, "precondition_failed")
    assert (await alice.get(path)).json() == before.json()


@pytest.mark.parametrize(("method", "body"), WRITES)
@pytest.mark.parametrize("listed", ['"other"', "*"])
async def test_a_missing_task_and_a_strangers_are_404_whatever_is_to_match(
    client: Client, path: str, alice: httpx.AsyncClient, method: str, body: dict[str, Any], listed: str
) -> None:
    stranger = client()
    for headers in ({"If-Match": listed}, {"If-Match": await etag(alice, path)}):
        for url in (f"/tasks/{SOME_ID}", path):
            problem(await stranger.request(method, url, headers=headers, **body), 404, "task_not_found")


@pytest.mark.parametrize("value", ["", "x", '"', '"a', "W/", "*, *", '"a" "b"', '"a\x7f"', "w/" + '"a"', "'a'"])
@pytest.mark.parametrize(
    ("method", "header"), [("GET", "If-None-Match"), ("PATCH", "If-Match"), ("DELETE", "If-Match")]
)
async def test_a_condition_that_cannot_be_understood_is_refused(
    alice: httpx.AsyncClient, path: str, method: str, header: str, value: str
) -> None:
    body: dict[str, Any] = {"json": {"title": "y"}} if method == "PATCH" else {}
    answer = await alice.request(method, path, headers={header: value}, **body)
    assert problem(answer, 422, "invalid_request")["errors"][0]["pointer"] == f"/header/{header}"
    assert (await alice.get(path)).json()["title"] == "Buy milk"


async def test_a_condition_twice_is_refused(alice: httpx.AsyncClient, path: str) -> None:
    answer = await alice.delete(path, headers=[("If-Match", '"a"'), ("If-Match", "*")])
    assert problem(answer, 422, "invalid_request")["errors"][0]["code"] == "repeated"


@pytest.mark.parametrize(("method", "body"), WRITES)
async def test_of_fifty_changes_with_one_etag_one_is_made(
    alice: httpx.AsyncClient, path: str, method: str, body: dict[str, Any]
) -> None:
    headers = {"If-Match": await etag(alice, path)}
    answers = await asyncio.gather(*(alice.request(method, path, headers=headers, **body) for _ in range(50)))
    statuses = sorted(answer.status_code for answer in answers)
    if method == "DELETE":  # nothing is left that could have another version
        assert statuses == [204] + [404] * 49
    else:
        assert statuses == [200] + [412] * 49


async def test_a_lost_update_is_noticed(alice: httpx.AsyncClient, path: str) -> None:
    ours, theirs = await etag(alice, path), await etag(alice, path)
    assert (await alice.patch(path, json={"title": "theirs"}, headers={"If-Match": theirs})).status_code == 200
    problem(await alice.patch(path, json={"title": "ours"}, headers={"If-Match": ours}), 412, "precondition_failed")
    again = await alice.get(path)
    merged = await alice.patch(path, json={"title": "both"}, headers={"If-Match": again.headers["etag"]})
    assert merged.json()["title"] == "both"
