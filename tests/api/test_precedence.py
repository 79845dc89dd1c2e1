"""Which refusal wins, in every combination: token, body, row, database and operation."""

import itertools
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from service.dev.issuer import Issuer
from tests.api.test_refusals import SOME_ID
from tests.conftest import Client, http_client, new_user

JSON = "application/json"
BODIES: dict[str, tuple[bytes, str, int | None]] = {
    "malformed": (b'{"title": ', JSON, 422),
    "wrong type": (b'{"title": "x"}', "text/plain", 415),
    "oversize": (b'{"title": "x"}' + b" " * 65_536, JSON, 413),
    "invalid": (b'{"title": ""}', JSON, 422),
    "valid": (b'{"title": "x"}', JSON, None),
}
OPERATIONS = {
    "listTasks": ("GET", "/tasks", 200),
    "createTask": ("POST", "/tasks", 201),
    "getTask": ("GET", "/tasks/{id}", 200),
    "replaceTask": ("PUT", "/tasks/{id}", 200),
    "updateTask": ("PATCH", "/tasks/{id}", 200),
    "deleteTask": ("DELETE", "/tasks/{id}", 204),
}
CELLS = list(itertools.product(("none", "expired", "good"), BODIES, ("up", "down"), OPERATIONS))


def expected(token: str, body: str, row: str, postgres: str, operation: str) -> int:
    """What docs/decisions/0005-order-of-refusals.md says."""
    method, path, success = OPERATIONS[operation]
    refusal = BODIES[body][2] if method in ("POST", "PUT", "PATCH") else None
    if token != "good":
        return 401
    if refusal:
        return refusal
    if postgres == "down":
        return 503
    if row != "own" and "{id}" in path:
        return 404
    return success


@pytest_asyncio.fixture(scope="module")
async def anothers(app: FastAPI, issuer: Issuer) -> str:
    async with http_client(app, issuer.token(new_user(), expires_in=900)) as bob:
        return await new_task(bob)


async def new_task(client: httpx.AsyncClient) -> str:
    task_id: str = (await client.post("/tasks", json={"title": "x"})).json()["id"]
    return task_id


@pytest.mark.parametrize(("token", "body", "postgres", "operation"), CELLS)
async def test_the_order_of_refusals_holds(
    app: FastAPI,
    app_without_database: FastAPI,
    client: Client,
    issuer: Issuer,
    anothers: str,
    token: str,
    body: str,
    postgres: str,
    operation: str,
) -> None:
    user = new_user()
    method, path, _ = OPERATIONS[operation]
    content, media_type, _ = BODIES[body]
    request: dict[str, Any] = {"content": content, "headers": {"content-type": media_type}}
    lives = {"none": None, "expired": -60, "good": 900}[token]
    credentials = None if lives is None else issuer.token(user, expires_in=lives)
    ids = {"own": await new_task(client(user)) if "{id}" in path else "", "other's": anothers, "missing": SOME_ID}
    async with http_client(app if postgres == "up" else app_without_database, credentials) as somebody:
        for row, task_id in ids.items():
            answer = await somebody.request(method, path.format(id=task_id), **request)
            assert answer.status_code == expected(token, body, row, postgres, operation), (row, answer.text)
            if answer.status_code == 401:
                assert answer.json()["code"] == {"none": "token_missing", "expired": "token_expired"}[token]
