"""Which refusal wins, and what every refusal looks like."""

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.settings import Settings
from tests.conftest import Client, MakeApp, Token, http_client, new_user

SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
ONE = f"/tasks/{SOME_ID}"
OPERATIONS = [("GET", "/tasks"), ("POST", "/tasks"), ("GET", ONE), ("PUT", ONE), ("PATCH", ONE), ("DELETE", ONE)]
WRITES = [("POST", "/tasks"), ("PUT", ONE), ("PATCH", ONE)]
TOO_LARGE = b" " * (64 * 1024 + 1)
JSON = {"content-type": "application/json"}
MERGE_PATCH = {"content-type": "application/merge-patch+json"}


@pytest.fixture
async def orphan(app_without_database: FastAPI, token_for: Token) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(app_without_database, token_for(new_user())) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a problem, which has all that every problem has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"].endswith(".")
    assert body["request_id"] == response.headers["x-request-id"]
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"} | (
        {"errors"} if status == 422 else set()
    )
    return body


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/tasks/",
        f"{ONE}/",
        f"{ONE}/x",
        "//tasks",
        "/Tasks",
        "/tasks%0A",
        "/tasks%2F" + SOME_ID,
        "/redoc",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE"])
async def test_an_unknown_path_is_404_for_anybody(client: Client, method: str, path: str) -> None:
    # A URL, since httpx would take // for a host.
    url = httpx.URL("http://api.test", raw_path=path.encode())
    problem(await client(None).request(method, url), 404, "not_found")
    problem(await client().request(method, url), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/tasks", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/tasks", "GET, HEAD, OPTIONS, POST"),
        ("POST", ONE, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("TRACE", ONE, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("BREW", "/tasks", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/livez", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_method_that_a_path_does_not_take_is_405_for_anybody(
    client: Client, method: str, path: str, allow: str
) -> None:
    for somebody in (client(None), client()):
        response = await somebody.request(method, path, content=TOO_LARGE)
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/tasks", ONE, "/livez"])
async def test_options_tells_the_methods_of_a_path(client: Client, path: str) -> None:
    response = await client(None).options(path)
    assert (response.status_code, response.content) == (204, b"")
    assert "GET" in response.headers["allow"]
    assert "content-type" not in response.headers


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("content", [b"", b"{", TOO_LARGE])
@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
async def test_no_token_is_401_before_the_body_matters(
    client: Client, method: str, path: str, content: bytes, media_type: str
) -> None:
    response = await client(None).request(method, path, content=content, headers={"content-type": media_type})
    problem(response, 401, "token_missing")
    assert response.headers["www-authenticate"] == 'Bearer realm="todo"'


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
async def test_too_large_a_body_is_413_before_its_type_matters(
    client: Client, method: str, path: str, media_type: str
) -> None:
    headers = {"content-type": media_type}
    problem(await client().request(method, path, content=TOO_LARGE, headers=headers), 413, "content_too_large")


async def test_a_body_without_an_end_is_not_read_for_ever(client: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024

    problem(await client().post("/tasks", content=endless(), headers=JSON), 413, "content_too_large")
    assert sent <= 65 + 1024 + 1  # what is discarded, so that the answer arrives, is bounded too


async def test_a_body_of_64_kib_is_read(client: Client) -> None:
    content = b'{"title": "x"}'.ljust(64 * 1024)
    assert (await client().post("/tasks", content=content, headers=JSON)).status_code == 201


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/vnd.api+json"},
        {"content-type": "application/json-patch+json"},
        {"content-type": "json"},
        {"content-type": "application/json; charset=\xe9"},
        {"content-type": "application/json; charset*=%00''utf-8"},
        {"content-type": "application/json; charset*=a%00b''utf-8"},
        {"content-type": "application/json; charset*0*=a%00b''x;charset*1=y"},
        {"content-type": "application/json; charset*" + "9" * 5000 + "=a"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "\xe9"},
        [("content-type", "application/json"), ("content-type", "text/plain")],
    ],
    ids=str,
)
async def test_another_media_type_is_415_before_the_body_is_parsed(
    client: Client, method: str, path: str, headers: Any
) -> None:
    latin = httpx.Headers(headers, encoding="latin-1")
    response = await client().request(method, path, content=b"{", headers=latin)
    problem(response, 415, "unsupported_media_type")
    expected = "application/json, application/merge-patch+json" if method == "PATCH" else None
    assert response.headers.get("accept-patch") == expected


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON ; Charset=UTF-8", 'application/json;charset="utf-8"']
)
async def test_json_is_known_in_every_way_to_write_it(client: Client, media_type: str) -> None:
    response = await client().post("/tasks", content=b'{"title": "x"}', headers={"content-type": media_type})
    assert response.status_code == 201


async def test_merge_patch_is_for_patch_alone(client: Client) -> None:
    for method, path in (("POST", "/tasks"), ("PUT", ONE)):
        response = await client().request(method, path, content=b'{"title": "x"}', headers=MERGE_PATCH)
        problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("content", [b"", b"{", b'{"title": ""}'])
async def test_an_invalid_body_is_422_even_when_the_database_is_away(
    orphan: httpx.AsyncClient, method: str, path: str, content: bytes
) -> None:
    problem(await orphan.request(method, path, content=content, headers=JSON), 422, "invalid_request")


@pytest.mark.parametrize(("method", "path"), [("GET", "/tasks?limit=0"), ("GET", "/tasks/x"), ("DELETE", "/tasks/x")])
async def test_an_invalid_parameter_is_422_even_when_the_database_is_away(
    orphan: httpx.AsyncClient, method: str, path: str
) -> None:
    problem(await orphan.request(method, path), 422, "invalid_request")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_everything_else_is_503_when_the_database_is_away(
    orphan: httpx.AsyncClient, method: str, path: str
) -> None:
    body: dict[str, Any] = {"json": {"title": "x"}} if (method, path) in WRITES else {}
    response = await orphan.request(method, path, **body)
    problem(response, 503, "database_unavailable")
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(("method", "path"), [operation for operation in OPERATIONS if operation[1] == ONE])
async def test_a_missing_task_is_404(client: Client, method: str, path: str) -> None:
    body: dict[str, Any] = {"json": {"title": "x"}} if (method, path) in WRITES else {}
    problem(await client().request(method, path, **body), 404, "task_not_found")


async def test_a_request_id_is_taken_over_or_made(client: Client) -> None:
    alice = client()
    for good in ("x", "A-z_0.9", "y" * 64):
        response = await alice.get("/tasks", headers={"x-request-id": good})
        assert response.headers["x-request-id"] == good
    for bad in ("", "y" * 65, "a b", "é", "<script>"):
        response = await alice.get("/tasks", headers=httpx.Headers({"x-request-id": bad}, encoding="latin-1"))
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/tasks"), ("GET", "/nothing"), ("PUT", "/tasks"), ("GET", "/livez"), ("HEAD", ONE)]
)
async def test_every_answer_has_the_same_headers(client: Client, method: str, path: str) -> None:
    response = await client().request(method, path)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Authorization, Origin"
    assert response.headers["x-request-id"]


ORIGIN = {"origin": "https://app.example.com"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_of_a_listed_origin_is_answered_without_a_token(client: Client, method: str) -> None:
    asking = {
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,if-match,idempotency-key",
    }
    response = await client(None).options(ONE, headers=ORIGIN | asking)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert method in response.headers["access-control-allow-methods"]
    assert "Authorization" in response.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/tasks", 200), ("GET", ONE, 404), ("PUT", "/tasks", 405), ("GET", "/x", 404)],
)
async def test_a_listed_origin_may_read_every_answer(client: Client, method: str, path: str, status: int) -> None:
    response = await client().request(method, path, headers=ORIGIN)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert "X-Request-Id" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.com.evil", "null", "http://app.example.com"]
)
async def test_another_origin_may_read_nothing(client: Client, origin: str) -> None:
    for response in (
        await client().get("/tasks", headers={"origin": origin}),
        await client(None).options("/tasks", headers={"origin": origin, "access-control-request-method": "GET"}),
    ):
        assert "access-control-allow-origin" not in response.headers


async def nothing(*_: object) -> Any:
    """ASGI's receive and send, for an application that is expected to use neither."""


async def test_a_mounted_application_stops_the_start(settings: Settings, make_app: MakeApp) -> None:
    """Which methods its paths take is not known here, so it is refused before it answers anybody."""
    app = make_app(settings)
    app.mount("/other", FastAPI())
    with pytest.raises(TypeError, match="/other is no plain route"):
        await app({"type": "lifespan", "app": app}, nothing, nothing)


async def test_a_failure_is_a_500_that_a_browser_can_read_and_a_log_that_quotes_nothing(
    settings: Settings, make_app: MakeApp, token_for: Token, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(settings)
    secret = secrets.token_hex()

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError(secret)

    async with http_client(app, token_for(new_user())) as somebody:
        response = await somebody.get("/boom", headers=ORIGIN)
    problem(response, 500, "internal_error")
    assert response.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert secret not in response.text + caplog.text
    assert response.json()["request_id"] in caplog.text
    assert "RuntimeError" in caplog.text
