"""Idempotency-Key: a POST that is sent again makes no second task."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from service.settings import Settings
from tests.api.test_lists import titles
from tests.api.test_refusals import problem
from tests.conftest import Client, Database, MakeApp, Token, http_client, new_user
from tests.wire import Wire

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
TASK: dict[str, Any] = {"title": "Buy milk", "description": None, "status": "Todo"}


def told(response: httpx.Response) -> tuple[int, Any, str, str]:
    return response.status_code, response.json(), response.headers["etag"], response.headers["location"]


async def test_the_same_request_again_gets_the_same_answer_and_makes_no_task(client: Client) -> None:
    alice = client()
    first = await alice.post("/tasks", json=TASK, headers=KEY)
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    again = await alice.post("/tasks", json=TASK, headers=KEY)
    assert told(again) == told(first)
    assert again.headers["idempotent-replayed"] == "true"
    assert await titles(alice) == ["Buy milk"]


async def test_the_payload_is_what_it_means_and_not_how_it_is_written(client: Client) -> None:
    alice = client()
    first = await alice.post(
        "/tasks", content=b'{"title":"Caf\\u00e9"}', headers={**KEY, "content-type": "application/json"}
    )
    again = await alice.post(
        "/tasks", json={"status": "Todo", "title": "Café", "description": None, "id": 5}, headers=KEY
    )
    assert told(again) == told(first)


@pytest.mark.parametrize("afterwards", ["PATCH", "DELETE"])
async def test_it_is_the_first_answer_whatever_became_of_the_task(client: Client, afterwards: str) -> None:
    alice = client()
    first = await alice.post("/tasks", json=TASK, headers=KEY)
    body: dict[str, Any] = {"json": {"title": "changed"}} if afterwards == "PATCH" else {}
    await alice.request(afterwards, first.headers["location"], **body)
    assert told(await alice.post("/tasks", json=TASK, headers=KEY)) == told(first)
    assert await titles(alice) == (["changed"] if afterwards == "PATCH" else [])


@pytest.mark.parametrize("other", [{"title": "Buy bread"}, {**TASK, "status": "Done"}, {**TASK, "description": "x"}])
async def test_a_key_is_for_one_payload(client: Client, other: dict[str, Any]) -> None:
    alice = client()
    await alice.post("/tasks", json=TASK, headers=KEY)
    body = problem(await alice.post("/tasks", json=other, headers=KEY), 422, "idempotency_key_reused")
    assert [error["pointer"] for error in body["errors"]] == ["/header/Idempotency-Key"]
    assert await titles(alice) == ["Buy milk"]


async def test_another_users_key_is_never_seen(client: Client) -> None:
    alice, bob = client(), client()
    hers = await alice.post("/tasks", json=TASK, headers=KEY)
    his = await bob.post("/tasks", json=TASK, headers=KEY)
    assert (his.status_code, "idempotent-replayed" in his.headers) == (201, False)
    assert his.json()["id"] != hers.json()["id"]
    assert his.json()["owner_id"] != hers.json()["owner_id"]
    assert (await titles(alice), await titles(bob)) == (["Buy milk"], ["Buy milk"])
    assert told(await bob.post("/tasks", json=TASK, headers=KEY)) == told(his)
    other = await client().post("/tasks", json={"title": "other"}, headers=KEY)
    assert other.status_code == 201


async def test_fifty_requests_at_once_with_one_key_make_one_task(client: Client) -> None:
    alice = client()
    answers = await asyncio.gather(*(alice.post("/tasks", json=TASK, headers=KEY) for _ in range(50)))
    made = [answer for answer in answers if answer.status_code == 201]
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "idempotency_key_in_flight")
            assert int(answer.headers["retry-after"]) > 0
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
    assert await titles(alice) == ["Buy milk"]


async def test_a_key_in_flight_is_409_and_not_a_second_task(client: Client, database: Database) -> None:
    user = new_user()
    alice = client(user)
    other = await database.as_api()
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"SET LOCAL app.user_id = '{user}'")
    await other.execute(
        "INSERT INTO app.idempotency_keys (key, payload_sha256) VALUES ($1, $2)", KEY["Idempotency-Key"], b"x" * 32
    )
    answer = await alice.post("/tasks", json=TASK, headers=KEY)
    problem(answer, 409, "idempotency_key_in_flight")
    assert answer.headers["retry-after"] == "1"
    await transaction.rollback()
    await other.close()
    assert (await alice.post("/tasks", json=TASK, headers=KEY)).status_code == 201
    assert await titles(alice) == ["Buy milk"]


async def test_a_refused_request_leaves_its_key_free(client: Client) -> None:
    alice = client()
    problem(await alice.post("/tasks", json={"title": ""}, headers=KEY), 422, "invalid_request")
    assert (await alice.post("/tasks", json=TASK, headers=KEY)).status_code == 201


async def test_a_request_that_failed_halfway_leaves_its_key_free(
    client: Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = client()
    with monkeypatch.context() as patch:
        patch.setattr("service.tasks.routes.etag_of", lambda _: 1 / 0)
        problem(await alice.post("/tasks", json=TASK, headers=KEY), 500, "internal_error")
    assert await titles(alice) == []
    again = await alice.post("/tasks", json=TASK, headers=KEY)
    assert (again.status_code, "idempotent-replayed" in again.headers) == (201, False)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await database.as_superuser()
    yield connection
    await connection.close()


async def age(admin: asyncpg.Connection, user: str, hours: float) -> None:
    await admin.execute(
        "UPDATE app.idempotency_keys SET created_at = created_at - $2 * interval '1 hour' WHERE owner_id = $1",
        user,
        hours,
    )


async def test_a_key_is_kept_for_24_hours(client: Client, admin: asyncpg.Connection) -> None:
    user = new_user()
    alice = client(user)
    first = await alice.post("/tasks", json=TASK, headers=KEY)
    await age(admin, user, 23.99)
    assert (await alice.post("/tasks", json=TASK, headers=KEY)).json()["id"] == first.json()["id"]
    await age(admin, user, 0.02)
    new = await alice.post("/tasks", json={"title": "another"}, headers=KEY)
    assert (new.status_code, "idempotent-replayed" in new.headers) == (201, False)
    assert told(await alice.post("/tasks", json={"title": "another"}, headers=KEY)) == told(new)
    assert await titles(alice) == ["another", "Buy milk"]


async def test_expired_keys_are_deleted_a_few_at_a_time_as_new_ones_come(
    client: Client, admin: asyncpg.Connection
) -> None:
    user, other = new_user(), new_user()
    alice = client(user)
    await admin.execute(
        "INSERT INTO app.idempotency_keys (owner_id, key, payload_sha256, created_at) "
        "SELECT owner_id, n::text, sha256(''), now() - interval '25 hours' "
        "FROM unnest($1::text[]) AS owner_id, generate_series(1, 50) AS n",
        [user, other],
    )
    left = "SELECT count(*) FROM app.idempotency_keys WHERE owner_id = $1 AND created_at < now() - interval '1 day'"
    await alice.post("/tasks", json=TASK)
    assert await admin.fetchval(left, user) == 50  # a POST without a key does nothing about keys
    for number, expected in ((1, 30), (2, 10), (3, 0), (4, 0)):
        await alice.post("/tasks", json=TASK, headers={"Idempotency-Key": f"new-{number}"})
        assert await admin.fetchval(left, user) == expected
    assert await admin.fetchval(left, other) == 50


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "\x7f", "x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    alice = client()
    answer = await alice.post("/tasks", json=TASK, headers={b"Idempotency-Key": key.encode("latin-1")})
    assert problem(answer, 422, "invalid_request")["errors"] == [
        {
            "pointer": "/header/Idempotency-Key",
            "code": "not_a_key",
            "detail": "1 to 255 printable ASCII characters without spaces.",
        }
    ]
    assert await titles(alice) == []


async def test_two_keys_are_refused(client: Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await client().post("/tasks", json=TASK, headers=headers)
    assert problem(answer, 422, "invalid_request")["errors"][0]["code"] == "repeated"


@pytest.mark.parametrize("key", ["x" * 255, '"quoted"', "!~{}';--"])
async def test_any_printable_key_will_do(client: Client, key: str) -> None:
    alice = client()
    first = await alice.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert told(await alice.post("/tasks", json=TASK, headers={"Idempotency-Key": key})) == told(first)


async def test_a_key_costs_one_round_trip_and_no_key_none(
    settings: Settings, make_app: MakeApp, token_for: Token
) -> None:
    async with Wire(settings.database_url.get_secret_value()) as wire:
        url = type(settings.database_url)(wire.url)
        app = make_app(settings.model_copy(update={"database_url": url, "database_pool_size": 1}))
        async with http_client(app, token_for(new_user())) as alice:
            trips = {}
            for name, headers in (("plain", {}), ("keyed", KEY), ("again", KEY)):
                for _ in range(2):  # the first time, statements are prepared
                    wire.trips.clear()
                    fresh = headers if name == "again" or not headers else {"Idempotency-Key": new_user()}
                    assert (await alice.post("/tasks", json=TASK, headers=fresh)).status_code == 201
                trips[name] = len(wire.trips)
        await app.state.engine.dispose()
    assert trips == {"plain": 3, "keyed": 4, "again": 4}
