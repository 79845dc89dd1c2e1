"""Bob and Alice's task: for Bob there is no such thing."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.settings import Settings
from tests.conftest import Client, Database, MakeApp, Token, http_client, new_user, run_sql

WRITE = {"json": {"title": "taken over"}}
ON_ONE = [("GET", {}), ("HEAD", {}), ("PUT", WRITE), ("PATCH", WRITE), ("PATCH", {"json": {}}), ("DELETE", {})]


async def make(client: httpx.AsyncClient) -> dict[str, str]:
    task: dict[str, str] = (await client.post("/tasks", json={"title": "Alice's own"})).json()
    return task


def without_its_request_id(response: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    request_id = response.headers.pop("x-request-id")
    for passing in ("date", "ratelimit"):  # which a deployment adds
        response.headers.pop(passing, None)
    return response.status_code, response.content.replace(request_id.encode(), b""), dict(response.headers)


@pytest.mark.parametrize(("method", "request_"), ON_ONE, ids=str)
async def test_a_strangers_task_looks_exactly_like_a_missing_one(
    client: Client, method: str, request_: dict[str, Any]
) -> None:
    alice, bob = client(), client()
    task = await make(alice)
    theirs = await bob.request(method, f"/tasks/{task['id']}", **request_)
    missing = await bob.request(method, f"/tasks/{uuid.uuid4()}", **request_)
    assert theirs.status_code == 404
    assert without_its_request_id(theirs) == without_its_request_id(missing)
    assert (await alice.get(f"/tasks/{task['id']}")).json() == task


async def test_a_list_has_the_callers_tasks_alone(client: Client) -> None:
    alice, bob = client(), client()
    hers, his = [await make(alice) for _ in range(3)], [await make(bob) for _ in range(2)]
    for somebody, theirs in ((alice, hers), (bob, his)):
        assert (await somebody.get("/tasks?limit=200")).json() == theirs[::-1]
        assert (await somebody.get("/tasks?skip=1")).json() == theirs[::-1][1:]


async def test_a_task_belongs_to_whoever_made_it_whatever_the_body_says(client: Client) -> None:
    alice, bob = client("alice"), client("bob")
    task = (await bob.post("/tasks", json={"title": "x", "owner_id": "alice"})).json()
    assert task["owner_id"] == "bob"
    assert (await alice.get(f"/tasks/{task['id']}")).status_code == 404
    for method in ("put", "patch"):
        changed = await bob.request(method, f"/tasks/{task['id']}", json={"title": "y", "owner_id": "alice"})
        assert changed.json()["owner_id"] == "bob"


async def test_users_whose_ids_are_alike_are_strangers(client: Client) -> None:
    ids = ["carol", "Carol", "carol ", " carol", "carol1", "caro", "carol%", "_arol", "carol--", "c", "carol\x7e"]
    tasks = {user_id: await make(client(user_id)) for user_id in ids}
    for user_id in ids:
        assert (await client(user_id).get("/tasks")).json() == [tasks[user_id]]


async def test_two_users_may_hold_the_same_id(client: Client, database: Database) -> None:
    alice, bob = client(), client()
    task = await make(alice)
    his = await make(bob)
    admin = await database.as_superuser()
    await admin.execute("UPDATE app.tasks SET id = $1 WHERE owner_id = $2", task["id"], his["owner_id"])
    await admin.close()
    for somebody, made in ((alice, task), (bob, his)):
        answer = await somebody.get(f"/tasks/{task['id']}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["owner_id"] == made["owner_id"]
    assert (await bob.delete(f"/tasks/{task['id']}")).status_code == 204
    assert (await alice.get(f"/tasks/{task['id']}")).json() == task


@pytest.mark.parametrize("nasty", ["' OR true --", "'; SET LOCAL app.user_id = 'alice'; --", "%", "$1", "{}", "\\"])
async def test_sql_in_a_field_is_text(client: Client, nasty: str) -> None:
    bob = client()
    task = (await bob.post("/tasks", json={"title": nasty, "description": nasty})).json()
    assert (task["title"], task["description"]) == (nasty, nasty)
    assert (await bob.get("/tasks")).json() == [task]


async def test_anothers_key_in_flight_neither_stops_nor_delays_anybody(client: Client, database: Database) -> None:
    """Waiting for it would tell that somebody uses it."""
    alice = new_user()
    held = await database.as_api()
    transaction = held.transaction()
    await transaction.start()
    await held.execute(f"SET LOCAL app.user_id = '{alice}'")
    await held.execute("INSERT INTO app.idempotency_keys (key, payload_sha256) VALUES ('held', sha256('x'))")
    started = time.monotonic()
    answer = await client().post("/tasks", json={"title": "x"}, headers={"Idempotency-Key": "held"})
    assert time.monotonic() - started < 1  # who waits, waits for two seconds
    assert answer.status_code == 201
    await transaction.rollback()
    await held.close()


async def test_a_cursor_says_whose_it_is_in_one_way_only(client: Client) -> None:
    """No id can be written so that it and what follows it are signed like another id and what follows that."""
    names = ["a", 'a"', 'a","', 'a", "', "a]", '["a"', "a, ", "a."]
    for name in names:
        somebody = client(name)
        await make(somebody)
        await make(somebody)
    cursors = {name: (await client(name).get("/tasks?limit=1")).links["next"]["url"] for name in names}
    for name in names:
        for owner, url in cursors.items():
            answer = await client(name).get(url)
            assert answer.status_code == (200 if name == owner else 422)


async def test_an_operator_that_somebody_made_in_public_is_never_called(
    make_database: Callable[[], Database], settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    """It would fit better than Postgres's own, and run with the rights of whoever searches."""
    shared = await asyncio.to_thread(make_database)
    await run_sql(
        shared.superuser_url,
        """
        CREATE TABLE public.loot (said text);
        GRANT INSERT ON public.loot TO PUBLIC;
        CREATE FUNCTION public.spies(text, varchar) RETURNS boolean LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO public.loot VALUES ($1); RETURN true; END $$;
        CREATE OPERATOR public.~~* (LEFTARG = text, RIGHTARG = varchar, FUNCTION = public.spies);
        CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = varchar, FUNCTION = public.spies);
        """,
    )
    app = make_app(settings.model_copy(update={"database_url": SecretStr(shared.api_url)}))
    async with http_client(app, token_for("alice")) as alice:
        headers = {"Idempotency-Key": "once"}
        assert (await alice.post("/tasks", json={"title": "seen"}, headers=headers)).status_code == 201
        assert (await alice.post("/tasks", json={"title": "seen"}, headers=headers)).status_code == 201
        assert len((await alice.get("/tasks?q=see&status=Todo")).json()) == 1
        assert (await alice.get("/tasks?q=other")).json() == []
    admin = await shared.as_superuser()
    assert await admin.fetch("SELECT said FROM public.loot") == []
    await admin.close()
