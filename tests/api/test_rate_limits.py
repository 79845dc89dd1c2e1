"""Rate limits: a token bucket for each caller, and one for each address; in memory, or in Redis."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from service.dev.issuer import Issuer
from service.settings import Settings
from tests.api.test_refusals import problem
from tests.conftest import Database, MakeApp, Token, http_client, new_user
from tests.servers import free_port, listens, todo_api_server

POLICY = '"caller";q=100;w=10;burst=200'
LIMIT = re.compile(r'"(caller|address)";r=(\d+);t=(\d+)')


def left(response: httpx.Response) -> int:
    """How many requests the RateLimit header says are left."""
    match = LIMIT.fullmatch(response.headers["ratelimit"])
    assert match, response.headers["ratelimit"]
    return int(match[2])


Limited = Callable[..., FastAPI]


@pytest.fixture
def limited(settings: Settings, make_app: MakeApp) -> Limited:
    """An application with limits, which the settings say."""

    def make(**changes: object) -> FastAPI:
        return make_app(settings.model_copy(update={"rate_limit": True} | changes))

    return make


async def burst(client: httpx.AsyncClient, number: int, path: str = "/tasks/x") -> list[httpx.Response]:
    return list(await asyncio.gather(*(client.get(path) for _ in range(number))))


async def test_a_burst_of_200_and_then_ten_a_second(limited: Limited, token_for: Token) -> None:
    async with http_client(limited(), token_for(new_user())) as alice:
        started = time.monotonic()
        answers = await burst(alice, 260)
        seconds = time.monotonic() - started
        passed = [answer for answer in answers if answer.status_code != 429]
        assert 200 <= len(passed) <= 200 + seconds * 10 + 1
        refused = [answer for answer in answers if answer.status_code == 429]
        for answer in refused:
            problem(answer, 429, "rate_limited")
            assert answer.headers["retry-after"] == "1"
            assert left(answer) == 0
        await asyncio.sleep(1)
        assert (await alice.get("/tasks")).status_code == 200


async def test_every_authenticated_answer_tells_what_is_left(limited: Limited, token_for: Token) -> None:
    async with http_client(limited(), token_for(new_user())) as alice:
        before = 200
        for method, path, content in [
            ("GET", "/tasks", b""),
            ("HEAD", "/tasks", b""),
            ("POST", "/tasks", b'{"title": "x"}'),
            ("POST", "/tasks", b"{"),
            ("POST", "/tasks", b" " * 70_000),
            ("GET", "/tasks/01890a5d-ac96-774b-bcce-b302099a8057", b""),
            ("DELETE", "/tasks/x", b""),
        ]:
            answer = await alice.request(method, path, content=content)
            assert answer.headers["ratelimit-policy"] == POLICY
            assert before - 2 < left(answer) < before  # at most one came back meanwhile
            before = left(answer)


async def test_one_callers_requests_are_not_anothers(limited: Limited, token_for: Token) -> None:
    app = limited(rate_limit_burst=5)
    async with http_client(app, token_for(new_user())) as alice, http_client(app, token_for(new_user())) as bob:
        assert 429 in {answer.status_code for answer in await burst(alice, 10)}
        assert left(await bob.get("/tasks")) == 4


async def test_the_limit_is_a_setting(limited: Limited, token_for: Token) -> None:
    app = limited(rate_limit_requests=7, rate_limit_seconds=60, rate_limit_burst=3)
    async with http_client(app, token_for(new_user())) as alice:
        answers = await burst(alice, 5)
        assert [answer.status_code for answer in answers].count(429) == 2
        assert answers[0].headers["ratelimit-policy"] == '"caller";q=7;w=60;burst=3'
        assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 429} == {"9"}


async def test_when_it_is_off_nobody_is_limited_or_told(limited: Limited, token_for: Token) -> None:
    async with http_client(limited(rate_limit=False), token_for(new_user())) as alice:
        answers = await burst(alice, 300)
        assert {answer.status_code for answer in answers} == {422}
        assert not any("ratelimit" in name for answer in answers for name in answer.headers)


async def test_probes_and_documents_are_not_limited(limited: Limited) -> None:
    async with http_client(limited(rate_limit_burst=2)) as nobody:
        assert {answer.status_code for answer in await burst(nobody, 5, "/tasks")} == {401, 429}
        for path in ("/livez", "/openapi.json", "/docs"):
            assert {answer.status_code for answer in await burst(nobody, 5, path)} == {200}


# --- addresses ---


def from_address(app: FastAPI, address: str, token: str | None) -> httpx.AsyncClient:
    client = http_client(app, token)
    client._transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 5))
    return client


@pytest.mark.parametrize("token", [None, "x", "a.b.c"])
async def test_an_address_that_keeps_failing_is_refused_before_any_signature_is_checked(
    limited: Limited, token_for: Token, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    app = limited(rate_limit_burst=20)
    async with from_address(app, "192.0.2.1", token) as flood:
        answers = await burst(flood, 30)
        assert [answer.status_code for answer in answers][:20] == [401] * 20
        assert {answer.status_code for answer in answers[22:]} == {429}
        assert answers[0].headers["ratelimit"].startswith('"address";r=19;')
        problem(answers[-1], 429, "rate_limited")
    checked: list[str] = []
    monkeypatch.setattr("service.identity.verifier.Verifier.verify", lambda _, token: checked.append(token))
    async with from_address(app, "192.0.2.1", token_for(new_user())) as same_address:
        assert (await same_address.get("/tasks")).status_code == 429
    assert checked == []


async def test_a_flood_from_one_address_is_nothing_to_another(limited: Limited, token_for: Token) -> None:
    app = limited(rate_limit_burst=5)
    async with from_address(app, "192.0.2.1", None) as flood:
        assert 429 in {answer.status_code for answer in await burst(flood, 10)}
    async with from_address(app, "192.0.2.2", token_for(new_user())) as alice:
        assert (await alice.get("/tasks")).status_code == 200


async def test_whoever_sends_valid_tokens_does_not_use_up_the_address(limited: Limited, token_for: Token) -> None:
    app = limited(rate_limit_burst=5)
    for _ in range(4):
        async with from_address(app, "192.0.2.1", token_for(new_user())) as alice:
            assert {answer.status_code for answer in await burst(alice, 4, "/tasks")} == {200}


async def test_the_addresses_of_one_ipv6_customer_count_as_one(limited: Limited) -> None:
    app = limited(rate_limit_burst=5)
    statuses = []
    for number in range(10):
        async with from_address(app, f"2001:db8::{number}", None) as flood:
            statuses.append((await flood.get("/tasks")).status_code)
    assert statuses[-1] == 429
    async with from_address(app, "2001:db8:0:1::1", None) as other:
        assert (await other.get("/tasks")).status_code == 401


async def test_ipv4_clients_of_a_dual_stack_socket_count_apart(limited: Limited, token_for: Token) -> None:
    app = limited(rate_limit_burst=5)
    async with from_address(app, "::ffff:192.0.2.1", None) as flood:
        assert 429 in {answer.status_code for answer in await burst(flood, 10)}
    async with from_address(app, "::ffff:192.0.2.2", token_for(new_user())) as alice:
        assert (await alice.get("/tasks")).status_code == 200
    async with from_address(app, "192.0.2.1", None) as same:
        assert (await same.get("/tasks")).status_code == 429


@pytest.mark.parametrize("address", ["unknown", "fe80::1%eth0", ":::", "1.2.3.4:5", ""])
async def test_whatever_a_proxy_says_is_an_address(limited: Limited, address: str) -> None:
    async with from_address(limited(), address, None) as client:
        assert (await client.get("/tasks")).status_code == 401


async def test_an_address_is_told_how_long_to_wait(limited: Limited) -> None:
    app = limited(rate_limit_requests=1, rate_limit_seconds=20, rate_limit_burst=2)
    async with from_address(app, "192.0.2.1", None) as flood:
        first, second, third = [await flood.get("/tasks") for _ in range(3)]
        await asyncio.sleep(1.1)
        fourth = await flood.get("/tasks")
    assert [answer.status_code for answer in (first, second, third, fourth)] == [401, 401, 429, 429]
    assert (third.headers["retry-after"], fourth.headers["retry-after"]) == ("20", "19")
    assert third.headers["ratelimit"] == '"address";r=0;t=20'


@pytest.mark.parametrize(
    ("trusted", "forwarded", "alike"),
    [("", "192.0.2.{}", True), ("127.0.0.1", "192.0.2.{}", False), ("127.0.0.1", "192.0.2.{}, 198.51.100.7", True)],
    ids=["no proxy", "a proxy", "what was sent to a proxy"],
)
async def test_only_a_trusted_proxy_says_who_the_client_is(
    database: Database, issuer: Issuer, trusted: str, forwarded: str, alike: bool
) -> None:
    with todo_api_server(
        database.api_url,
        issuer,
        RATE_LIMIT_BURST="2",
        RATE_LIMIT_REQUESTS="1",
        RATE_LIMIT_SECONDS="3600",
        TRUSTED_PROXIES=trusted,
    ) as (port, _):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            said = [{"X-Forwarded-For": forwarded.format(number)} for number in range(4)]
            answers = [(await client.get("/tasks", headers=headers)).status_code for headers in said]
    assert answers == ([401, 401, 429, 429] if alike else [401] * 4)


# --- Redis ---


@contextmanager
def redis_server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [
                binary,
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                folder,
                "--requirepass",
                "pa55",
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 10
            while not listens(port):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield server
        finally:
            server.terminate()
            server.wait(10)


Start = Callable[[], Awaitable[FastAPI]]


@pytest.fixture
async def in_redis(limited: Limited) -> AsyncIterator[tuple[int, Start]]:
    """The port of a Redis that does not run yet, and how to start an application that counts there."""
    port = free_port()
    storage = SecretStr(f"redis://:pa55@127.0.0.1:{port}/0")
    async with AsyncExitStack() as stack:

        async def start() -> FastAPI:
            app = limited(rate_limit_burst=20, rate_limit_storage=storage)
            await stack.enter_async_context(app.router.lifespan_context(app))
            return app

        yield port, start


async def test_processes_that_share_a_redis_share_the_limit(in_redis: tuple[int, Start], token_for: Token) -> None:
    port, start = in_redis
    token = token_for(new_user())
    with redis_server(port):
        async with http_client(await start(), token) as one, http_client(await start(), token) as other:
            answers = await burst(one, 15) + await burst(other, 15)
            assert 19 <= sum(answer.status_code != 429 for answer in answers) <= 22
            assert min(map(left, answers[:15])) <= 6
            assert min(map(left, answers)) == 0


async def test_while_redis_is_away_nobody_is_limited_and_the_log_says_so_once_a_minute(
    in_redis: tuple[int, Start], token_for: Token, caplog: pytest.LogCaptureFixture
) -> None:
    port, start = in_redis
    async with http_client(await start(), token_for(new_user())) as alice:
        started = time.monotonic()
        answers = await burst(alice, 60)
        for _ in range(3):
            answers += await burst(alice, 60)
        assert {answer.status_code for answer in answers} == {422}
        assert "ratelimit" not in answers[-1].headers
        assert time.monotonic() - started < 3
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 1
        assert said[0].startswith("nobody is limited: the storage of rate limits is away")
        assert "pa55" not in said[0]
        with redis_server(port):
            await asyncio.sleep(1.1)  # it is tried again once a second
            assert left(await alice.get("/tasks/x")) == 19


async def test_redis_that_is_away_is_asked_once_a_second(limited: Limited, token_for: Token) -> None:
    asked = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    app = limited(rate_limit_storage=SecretStr(f"redis://127.0.0.1:{port}"))
    async with server, app.router.lifespan_context(app), http_client(app, token_for(new_user())) as alice:
        for _ in range(50):
            assert (await alice.get("/tasks/x")).status_code == 422
        assert 1 <= asked <= 3 + 1  # a try may be several connections


async def test_no_connection_to_redis_outlives_the_service(limited: Limited, token_for: Token) -> None:
    port = free_port()
    app = limited(rate_limit_storage=SecretStr(f"redis://:pa55@127.0.0.1:{port}/0"))
    with redis_server(port):
        async with app.router.lifespan_context(app), http_client(app, token_for(new_user())) as alice:
            assert left(await alice.get("/tasks/x")) == 199
        async with Redis(port=port, password="pa55") as redis:
            assert len(await redis.client_list()) == 1  # who is asking
