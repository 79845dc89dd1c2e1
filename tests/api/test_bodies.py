"""What a body and a parameter may be."""

import json
from typing import Any

import httpx
import pytest

from service.http.problems import FieldError, InvalidRequest
from tests.conftest import Client

JSON = {"content-type": "application/json"}
SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


async def send(client: httpx.AsyncClient, method: str, content: bytes, **headers: str) -> httpx.Response:
    path = "/tasks" if method == "POST" else f"/tasks/{SOME_ID}"
    return await client.request(method, path, content=content, headers=JSON | headers)


def errors_of(response: httpx.Response) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("title", "code"),
    [
        ("", "too_short"),
        ("x" * 256, "too_long"),
        (" ", "invisible"),
        ("\u200b", "invisible"),
        (" \t\n\u00a0\u2003\ufeff\u3164", "invisible"),
        ("a\0b", "nul"),
        (5, "wrong_type"),
        (None, "wrong_type"),
        (True, "wrong_type"),
        (["x"], "wrong_type"),
    ],
)
async def test_a_title_that_is_none_is_refused(client: Client, method: str, title: object, code: str) -> None:
    response = await send(client(), method, json.dumps({"title": title}).encode())
    assert errors_of(response) == [("/title", code)]


@pytest.mark.parametrize("title", ["x", "x" * 255, "🏳️‍🌈", " x ", "\u200bx", "0", "👍" * 255])
async def test_a_title_of_one_to_255_characters_is_taken(client: Client, title: str) -> None:
    response = await client().post("/tasks", json={"title": title})
    assert (response.status_code, response.json()["title"]) == (201, title)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("member", "value", "code"),
    [
        ("description", "x" * 10_001, "too_long"),
        ("description", "a\0b", "nul"),
        ("description", 5, "wrong_type"),
        ("status", "todo", "not_allowed"),
        ("status", "", "not_allowed"),
        ("status", None, "not_allowed"),
        ("status", 1, "not_allowed"),
    ],
)
async def test_a_wrong_member_is_named(client: Client, method: str, member: str, value: object, code: str) -> None:
    response = await send(client(), method, json.dumps({"title": "x", member: value}).encode())
    assert errors_of(response) == [(f"/{member}", code)]


async def test_a_description_of_ten_thousand_characters_is_taken(client: Client) -> None:
    response = await client().post("/tasks", json={"title": "x", "description": "é" * 10_000})
    assert (response.status_code, response.json()["description"]) == (201, "é" * 10_000)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_title_is_required(client: Client, method: str) -> None:
    assert errors_of(await send(client(), method, b"{}")) == [("/title", "required")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_an_unknown_member_is_refused_without_being_repeated(client: Client, method: str) -> None:
    response = await send(client(), method, b'{"title": "x", "s3cret": 1}')
    assert errors_of(response) == [("", "unknown")]
    assert "s3cret" not in response.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"title": "x",}',
        b"{'title': 'x'}",
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'\xef\xbb\xbf{"title": "x"}',
        '{"title": "x"}'.encode("utf-16"),
        b'{"title": "\xff"}',
        b'{"title": "x"} {}',
        b'{"title": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b"\x00",
    ],
    ids=lambda content: repr(content[:20]),
)
async def test_what_is_not_json_is_refused(client: Client, method: str, content: bytes) -> None:
    assert errors_of(await send(client(), method, content)) == [("", "malformed_json")]


@pytest.mark.parametrize("content", [b'{"title": "x", "title": "y"}', b'{"title": "x", "id": {"a": 1, "a": 1}}'])
async def test_a_name_that_stands_twice_is_refused(client: Client, content: bytes) -> None:
    assert errors_of(await send(client(), "POST", content)) == [("", "repeated")]


async def test_where_json_ends_is_told(client: Client) -> None:
    response = await send(client(), "POST", b'{"title":\n  s3cret}')
    assert response.json()["errors"][0]["detail"].endswith("See line 2, column 3.")


async def test_no_depth_of_nesting_is_a_failure(client: Client) -> None:
    alice = client()
    for depth in range(800, 1000, 3):
        content = b'{"title": "x", "id": ' + b"[" * depth + b"]" * depth + b"}"
        assert (await send(alice, "POST", content)).status_code in (201, 422)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("content", [b"null", b"[]", b"5", b'"x"', b"true", b'[{"title": "x"}]', b"1e400"])
async def test_a_body_is_an_object(client: Client, method: str, content: bytes) -> None:
    assert errors_of(await send(client(), method, content)) == [("", "wrong_type")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_body_is_required(client: Client, method: str) -> None:
    assert errors_of(await send(client(), method, b"")) == [("", "required")]


@pytest.mark.parametrize("member", ["title", "description", "status"])
async def test_a_lone_surrogate_is_refused(client: Client, member: str) -> None:
    content = json.dumps({"title": "x", member: "\ud800"}).encode()
    response = await client().post("/tasks", content=content, headers=JSON)
    assert errors_of(response) == [(f"/{member}", "not_unicode")]


@pytest.mark.parametrize("value", ["\ud800", "a\0", ["x", {"a": "\udfff"}], {"\0": 1}])
@pytest.mark.parametrize("member", ["id", "owner_id", "created_at", "updated_at"])
async def test_what_is_ignored_has_to_be_text_all_the_same(client: Client, member: str, value: Any) -> None:
    response = await send(client(), "POST", json.dumps({"title": "x", member: value}).encode())
    assert errors_of(response) == [("", "not_unicode")]


async def test_many_unknown_members_are_one_error(client: Client) -> None:
    body = json.dumps({f"m{number}": 1 for number in range(5000)}).encode()
    assert errors_of(await send(client(), "PATCH", body)) == [("", "unknown")]


def test_at_most_twenty_errors_are_told() -> None:
    errors = [FieldError(pointer=f"/{number}", code="unknown", detail="x") for number in range(30)]
    assert InvalidRequest("x", errors).errors == errors[:20]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", ("/query/limit", "too_small")),
        ("limit=201", ("/query/limit", "too_large")),
        ("limit=-1", ("/query/limit", "too_small")),
        ("limit=x", ("/query/limit", "wrong_type")),
        ("limit=1.5", ("/query/limit", "wrong_type")),
        ("limit=1.0", ("/query/limit", "wrong_type")),
        ("limit=1_0", ("/query/limit", "wrong_type")),
        ("limit=%201", ("/query/limit", "wrong_type")),
        ("limit=", ("/query/limit", "wrong_type")),
        ("limit=%00", ("/query/limit", "wrong_type")),
        ("limit=" + "9" * 5000, ("/query/limit", "too_large")),
        ("skip=-1", ("/query/skip", "too_small")),
        ("skip=99999999999999999999", ("/query/skip", "too_large")),
        ("owner_id=alice", ("/query", "unknown")),
        ("offset=1", ("/query", "unknown")),
        ("Limit=1", ("/query", "unknown")),
    ],
)
async def test_a_wrong_parameter_is_named(client: Client, query: str, expected: tuple[str, str]) -> None:
    response = await client().get(f"/tasks?{query}")
    assert errors_of(response) == [expected]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "id",
    [
        "x",
        "1",
        SOME_ID.replace("-", ""),
        f"{{{SOME_ID}}}",
        f"urn:uuid:{SOME_ID}",
        SOME_ID + "%00",
        SOME_ID[:-1] + "g",
        "%ED%A0%80",
        "0" * 36,
    ],
)
async def test_an_id_that_is_no_uuid_is_refused(client: Client, method: str, id: str) -> None:
    body: dict[str, Any] = {"json": {"title": "x"}} if method in ("PUT", "PATCH") else {}
    response = await client().request(method, f"/tasks/{id}", **body)
    assert errors_of(response) == [("/path/id", "not_a_uuid")]
