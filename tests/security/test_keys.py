"""Keys from a JWKS endpoint that rotates, goes away, comes back, and misbehaves."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.app import create_app
from service.identity import keys
from service.identity.jwks_endpoint import FetchFailed, JwksEndpoint
from service.identity.keys import FetchedKeys
from service.settings import Settings
from tests.api.test_refusals import problem
from tests.conftest import http_client, new_user
from tests.security.test_tokens import segment
from tests.signing import ISSUER, JwksServer, Signer, after, http, jwks

Serve = Callable[..., Awaitable[FastAPI]]


@pytest.fixture
async def serve(settings: Settings) -> AsyncIterator[Serve]:
    """The application as it runs, with the keys of this endpoint."""
    async with AsyncExitStack() as stack:

        async def start(endpoint: JwksServer, **changes: Any) -> FastAPI:
            ours = {"auth_issuer": ISSUER, "auth_audience": ISSUER, "auth_jwks_file": None}
            app = create_app(settings.model_copy(update=ours | {"auth_jwks_url": endpoint.url} | changes))
            await stack.enter_async_context(app.router.lifespan_context(app))
            return app

        yield start


async def ask(app: FastAPI, token: str) -> httpx.Response:
    async with http_client(app, token) as client:
        return await client.get("/tasks?limit=1")


async def status(app: FastAPI, token: str) -> int:
    return (await ask(app, token)).status_code


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.05)


# --- the ordinary way ---


async def test_all_the_first_requests_share_one_fetch(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(after(0.3, http(jwks(signer)))) as endpoint:
        app = await serve(endpoint)
        answers = await asyncio.gather(*(status(app, signer.token(new_user())) for _ in range(200)))
        assert set(answers) == {200}
        assert len(endpoint.hits) == 1


async def test_the_first_token_of_a_new_key_is_accepted_and_the_old_key_still_works(serve: Serve) -> None:
    old, new = Signer("old"), Signer("new")
    async with JwksServer(http(jwks(old))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, old.token()) == 200
        endpoint.answer = http(jwks(old, new))
        assert await status(app, new.token()) == 200
        assert await status(app, old.token()) == 200
        assert len(endpoint.hits) == 2


async def test_two_rotations_at_once_keep_nobody_waiting(serve: Serve) -> None:
    signers = [Signer(str(number)) for number in range(4)]
    async with JwksServer(http(jwks(signers[0]))) as endpoint:
        app = await serve(endpoint)
        for number, signer in enumerate(signers):
            endpoint.answer = http(jwks(*signers[: number + 1]))
            assert await status(app, signer.token()) == 200


async def test_a_key_that_is_dropped_is_dropped_here_with_the_next_refresh(serve: Serve) -> None:
    kept, dropped = Signer("kept"), Signer("dropped")
    async with JwksServer(http(jwks(kept, dropped))) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1)
        token = dropped.token()
        assert [await status(app, token) for _ in range(3)] == [200] * 3  # its signature is known to be good
        endpoint.answer = http(jwks(kept))

        async def refused() -> bool:
            return await status(app, token) == 401

        await until(refused, seconds=2)
        assert await status(app, kept.token()) == 200


async def test_another_key_of_the_same_name_ends_the_tokens_of_the_first(serve: Serve) -> None:
    first, second = Signer("same"), Signer("same")
    async with JwksServer(http(jwks(first))) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1)
        token = first.token()
        assert await status(app, token) == 200
        endpoint.answer = http(jwks(second))

        async def replaced() -> bool:
            return await status(app, second.token()) == 200

        await until(replaced, seconds=2)
        assert await status(app, token) == 401


async def test_a_refresh_keeps_nobody_waiting(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1)
        assert await status(app, signer.token()) == 200

        async def never(_: asyncio.StreamWriter) -> None:
            await asyncio.sleep(10)

        endpoint.answer = never
        slowest = 0.0
        while len(endpoint.hits) < 2 or time.monotonic() - endpoint.hits[1] < 1:
            started = time.monotonic()
            assert await status(app, signer.token()) == 200
            slowest = max(slowest, time.monotonic() - started)
            await asyncio.sleep(0.02)
        assert slowest < 1


async def test_a_rotation_during_a_refresh_refuses_nobody(serve: Serve) -> None:
    old, new = Signer("old"), Signer("new")
    under_way = asyncio.Event()
    async with JwksServer(http(jwks(old))) as endpoint:

        async def as_before(writer: asyncio.StreamWriter) -> None:
            endpoint.answer = http(jwks(old, new))  # the next answer
            under_way.set()
            await asyncio.sleep(0.5)
            writer.write(http(jwks(old)))

        app = await serve(endpoint, auth_jwks_refresh_seconds=1)
        assert await status(app, old.token()) == 200
        endpoint.answer = as_before
        await under_way.wait()
        assert await asyncio.gather(*(status(app, new.token()) for _ in range(20))) == [200] * 20


async def test_readiness_says_how_old_the_keys_are(serve: Serve) -> None:
    async with JwksServer(http(jwks(Signer()))) as endpoint:
        app = await serve(endpoint)
        async with http_client(app) as client:

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(ready, seconds=1)
            assert (await client.get("/readyz")).json() == {"status": "ok", "keys_age_seconds": 0}
            await asyncio.sleep(1)
            assert (await client.get("/readyz")).json()["keys_age_seconds"] == 1


async def test_readiness_waits_for_the_first_keys(serve: Serve) -> None:
    async with JwksServer(after(0.5, http(jwks(Signer())))) as endpoint:
        app = await serve(endpoint)
        async with http_client(app) as client:
            problem(await client.get("/readyz"), 503, "keys_unavailable")

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(ready, seconds=2)


async def test_no_cookie_of_the_endpoint_is_sent_back(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer), "Set-Cookie: server=1; Path=/")) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1)
        assert await status(app, signer.token()) == 200

        async def twice() -> bool:
            return len(endpoint.asked) == 2

        await until(twice, seconds=3)
        assert b"cookie" not in endpoint.asked[1].lower()


# --- kids that nobody knows ---


async def test_replicas_that_disagree_do_not_make_it_fetch_without_end(serve: Serve) -> None:
    one, other = Signer("one"), Signer("other")
    async with JwksServer(http(jwks(one))) as endpoint:
        app = await serve(endpoint)
        started = time.monotonic()
        while time.monotonic() - started < 1:
            for signer in (one, other):
                endpoint.answer = http(jwks(signer))
                assert await status(app, signer.token()) in (200, 401)
        assert len(endpoint.hits) < 10


async def test_random_kids_fetch_once_in_five_seconds_and_disturb_nobody(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, signer.token()) == 200
        started = time.monotonic()
        while time.monotonic() - started < 5.5:
            strangers = [signer.token(header={"kid": new_user()}) for _ in range(20)]
            answers = await asyncio.gather(*(status(app, token) for token in (*strangers, signer.token())))
            assert answers == [401] * 20 + [200]
        fetches = [hit - started for hit in endpoint.hits if hit >= started]
        assert len(fetches) == 2
        assert fetches[1] - fetches[0] >= 4.9


async def test_a_kid_that_was_not_found_is_not_fetched_for_again_at_once(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, signer.token()) == 200
        stale = signer.token(header={"kid": "stale"})
        assert await status(app, stale) == 401
        assert len(endpoint.hits) == 2  # the start's, and the miss's
        await asyncio.sleep(5.1)
        assert await status(app, stale) == 401
        assert len(endpoint.hits) == 2
        assert await status(app, signer.token(header={"kid": "another"})) == 401
        assert len(endpoint.hits) == 3


@pytest.mark.parametrize(
    "header", [{"kid": ""}, {"kid": None}, {"kid": "x" * 256}, {"alg": "HS256"}, {"typ": "dpop+jwt"}, {"crit": ["exp"]}]
)
async def test_a_header_that_is_wrong_fetches_nothing(serve: Serve, header: dict[str, Any]) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint)
        looked_for = {"alg": "EdDSA", "kid": "unknown"}  # without what is wrong, it would be
        head = {name: value for name, value in (looked_for | header).items() if value is not None}
        _, claims, signature = signer.token().split(".")
        assert await status(app, signer.token()) == 200
        assert await status(app, f"{segment(head)}.{claims}.{signature}") == 401
        assert len(endpoint.hits) == 1


async def test_a_token_of_another_issuer_fetches_nothing(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, signer.token()) == 200
        assert await status(app, signer.token(header={"kid": "other"}, iss="https://elsewhere.example")) == 401
        assert len(endpoint.hits) == 1


async def test_a_client_that_hangs_up_ends_the_fetch_for_nobody_else(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(after(0.5, http(jwks(signer)))) as endpoint:
        app = await serve(endpoint)
        first = asyncio.create_task(status(app, signer.token()))
        second = asyncio.create_task(status(app, signer.token()))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second == 200
        assert len(endpoint.hits) == 1


async def test_made_up_kids_fetch_no_more_often_when_the_endpoint_fails_now_and_then(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, signer.token()) == 200
        good, bad = http(jwks(signer)), http(b"", status="502 Bad Gateway")
        started = time.monotonic()
        while time.monotonic() - started < 4:
            endpoint.answer = bad if len(endpoint.hits) % 2 else good
            assert await status(app, signer.token(header={"kid": new_user()})) in (401, 503)
        assert (
            len(endpoint.hits) <= 3
        )  # at the start, for the first of them, and again after the second, which it failed


# --- an outage ---


async def test_whoever_waits_as_long_as_is_said_has_a_new_key_looked_for(serve: Serve) -> None:
    old, new = Signer("old"), Signer("new")
    async with JwksServer(http(jwks(old))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, old.token()) == 200
        endpoint.answer = http(b'{"keys": []}')
        told = await ask(app, new.token())
        problem(told, 503, "keys_unavailable")
        endpoint.answer = http(jwks(old, new))
        await asyncio.sleep(int(told.headers["retry-after"]))
        assert await status(app, new.token()) == 200


async def test_it_is_told_when_the_keys_have_run_out(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1, auth_jwks_max_age_seconds=2)
        assert await status(app, signer.token()) == 200
        endpoint.answer = http(b"", status="500 Internal Server Error")

        async def told() -> bool:
            return len(caplog.messages) == 2

        await until(told, seconds=6)
        assert caplog.messages[0].endswith("s at most")
        assert caplog.messages[1].endswith("There are no keys: every token is answered with 503")


@pytest.mark.parametrize("unusable", [{}, Signer("short").public_jwk | {"x": "AA"}])
async def test_the_faults_of_a_key_set_are_told_once(
    serve: Serve, unusable: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with JwksServer(http(json.dumps({"keys": [unusable]}).encode())) as endpoint:
        await serve(endpoint)

        async def asked_again() -> bool:
            return len(endpoint.hits) == 3

        await until(asked_again, seconds=5)
        assert len(caplog.messages) == 2  # that the key is left out, and that there are none


async def test_in_an_outage_known_keys_stay_and_an_unknown_one_signs_nobody_out(serve: Serve) -> None:
    known, unknown = Signer("known"), Signer("unknown")
    async with JwksServer(http(jwks(known))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, known.token()) == 200
        await endpoint.away()
        endpoint.answer = http(jwks(known, unknown))
        refused = await ask(app, unknown.token())
        problem(refused, 503, "keys_unavailable")
        assert {await status(app, known.token()) for _ in range(50)} == {200}
        await endpoint.back()
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert await status(app, unknown.token()) == 200


async def test_when_all_keys_were_too_old_to_be_listed_the_first_token_brings_one_again(serve: Serve) -> None:
    old, new = Signer("old"), Signer("new")
    async with JwksServer(http(jwks(old))) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1)
        assert await status(app, old.token()) == 200
        endpoint.answer = http(b'{"keys": []}')
        await asyncio.sleep(3.5)  # the next try of its own would be in four seconds
        endpoint.answer = http(jwks(new))
        assert await status(app, new.token()) == 200
        assert await status(app, old.token()) == 401


async def test_an_outage_is_told_once_and_its_end_too(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    signer = Signer()
    async with JwksServer(http(b"", status="500 Internal Server Error")) as endpoint:
        app = await serve(endpoint)
        await asyncio.sleep(1.5)
        endpoint.answer = http(jwks(signer))

        async def over() -> bool:
            return await status(app, signer.token()) == 200

        await until(over, seconds=3)
        assert caplog.messages == [
            f"the keys cannot be fetched from {endpoint.url}: it answers 500. "
            "There are no keys: every token is answered with 503",
            f"the keys are fetched again from {endpoint.url}",
        ]


async def test_the_service_starts_while_the_endpoint_is_away(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        await endpoint.away()
        app = await serve(endpoint)
        problem(await ask(app, signer.token()), 503, "keys_unavailable")
        async with http_client(app) as client:
            assert (await client.get("/livez")).status_code == 200
            problem(await client.get("/readyz"), 503, "keys_unavailable")
            await endpoint.back()

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(ready, seconds=5)
        assert await status(app, signer.token()) == 200


async def test_it_is_tried_again_less_and_less_often(serve: Serve) -> None:
    async with JwksServer(http(b"", status="500 Internal Server Error")) as endpoint:
        app = await serve(endpoint)
        started = time.monotonic()
        while time.monotonic() - started < 4:
            problem(await ask(app, Signer().token()), 503, "keys_unavailable")
            await asyncio.sleep(0.02)
        waits = [later - earlier for earlier, later in zip(endpoint.hits, endpoint.hits[1:], strict=False)]
        assert [round(wait) for wait in waits] == [1, 2]


async def test_an_outage_of_hours_does_not_end_the_refreshing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_BACK_OFF_SECONDS", (0.0, 0.0))
    tries = 0

    class Away(JwksEndpoint):
        async def get(self) -> bytes:
            nonlocal tries
            tries += 1
            await asyncio.sleep(0)
            if tries <= 1100:  # at 30 s each, nine hours
                raise FetchFailed("it is away")
            return jwks(Signer("first"))

    fetched = FetchedKeys(Away("https://auth.example.com"), ("EdDSA",), refresh_after=300, max_age=86400)

    async def found() -> bool:
        return tries > 1100 and await fetched.find("first") is not None

    async with fetched.kept_fresh():
        await until(found, seconds=5)


async def test_after_a_failed_fetch_for_an_unknown_key_it_is_tried_again_by_itself(serve: Serve) -> None:
    known, unknown = Signer("known"), Signer("unknown")
    async with JwksServer(http(jwks(known))) as endpoint:
        app = await serve(endpoint)
        assert await status(app, known.token()) == 200
        endpoint.answer = http(b"", status="500 Internal Server Error")
        assert await status(app, unknown.token()) == 503
        endpoint.answer = http(jwks(known, unknown))
        hits = len(endpoint.hits)

        async def tried() -> bool:
            return len(endpoint.hits) > hits

        await until(tried, seconds=3)


@pytest.mark.parametrize(
    "header",
    [
        lambda: "Retry-After: 3",
        lambda: "X-Retry-After: 3",
        lambda: f"Retry-After: {formatdate(time.time() + 4, usegmt=True)}",  # which has no fractions of seconds
    ],
    ids=["seconds", "as Better Auth says it", "date"],
)
async def test_an_endpoint_that_asks_for_a_rest_gets_it(serve: Serve, header: Callable[[], str]) -> None:
    signer = Signer()
    async with JwksServer(http(b"", header(), status="429 Too Many Requests")) as endpoint:
        app = await serve(endpoint)
        refused = await ask(app, signer.token())
        problem(refused, 503, "keys_unavailable")
        assert refused.headers["retry-after"] in ("3", "4")
        endpoint.answer = http(jwks(signer))
        started = time.monotonic()
        while time.monotonic() - started < 2:
            assert await status(app, signer.token()) == 503
        assert len(endpoint.hits) == 1

        async def back() -> bool:
            return await status(app, signer.token()) == 200

        await until(back, seconds=3)


@pytest.mark.parametrize(
    "said", ["soon", "-5", "9" * 400, "Wed, 99 Nov 2026 00:00:00 GMT", "²", "Wed, 21 Nov 9999 00:00:00 GMT"]
)
async def test_a_strange_retry_after_does_no_harm(serve: Serve, said: str) -> None:
    answer = http(b"", status="503 Service Unavailable").replace(
        b"\r\n\r\n", f"\r\nRetry-After: {said}\r\n\r\n".encode()
    )
    async with JwksServer(answer) as endpoint:
        app = await serve(endpoint)
        refused = await ask(app, Signer().token())
        problem(refused, 503, "keys_unavailable")
        assert 1 <= int(refused.headers["retry-after"]) <= 3600


async def test_keys_that_cannot_be_confirmed_for_too_long_are_used_no_more(serve: Serve) -> None:
    signer = Signer()
    async with JwksServer(http(jwks(signer))) as endpoint:
        app = await serve(endpoint, auth_jwks_refresh_seconds=1, auth_jwks_max_age_seconds=3)
        token = signer.token()
        assert await status(app, token) == 200
        fetched = endpoint.hits[-1]
        await endpoint.away()
        while time.monotonic() - fetched < 2.5:
            assert await status(app, token) == 200
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        problem(await ask(app, token), 503, "keys_unavailable")
        async with http_client(app) as client:
            problem(await client.get("/readyz"), 503, "keys_unavailable")


# --- answers that are none ---


async def _drips(writer: asyncio.StreamWriter) -> None:
    for byte in http(jwks(Signer("new"))):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def _redirects(writer: asyncio.StreamWriter) -> None:
    host, port = writer.get_extra_info("sockname")
    writer.write(http(b"", f"Location: http://{host}:{port}/elsewhere", status="302 Found"))


MISBEHAVIOUR: dict[str, tuple[Any, str]] = {
    "drips a byte a second": (_drips, "it took longer than 3 s"),
    "redirects": (_redirects, "it answers 302"),
    "sends 10 MB": (http(b" " * 10_000_000), "its answer is longer than 262144 bytes"),
    "sends 10 MB without a length": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 10_000_000,
        "its answer is longer than 262144 bytes",
    ),
    "compresses": (http(gzip.compress(jwks(Signer("new"))), "Content-Encoding: gzip"), "its answer is compressed"),
    "sends invalid JSON": (http(b'{"keys": ['), "it is no JWKS document"),
    "nests too deep": (http(b'{"keys": ' + b"[" * 100_000), "it is no JWKS document"),
    "sends no UTF-8": (http(b'{"keys": ["\xff"]}'), "it is no JWKS document"),
    "sends a list": (http(b"[]"), "it is no JWKS document"),
    "sends no end of keys": (http(b'{"keys": [' + b"1," * 100_000 + b"1]}"), "it lists more than 100 keys"),
    "sends no keys": (http(b'{"keys": []}'), "it holds no usable public key"),
    "sends no object": (http(b'{"keys": null}'), "it is no JWKS document"),
    "answers 404": (http(b"", status="404 Not Found"), "it answers 404"),
    "answers 204": (http(b"", status="204 No Content"), "it answers 204"),
    "speaks something else": (b"220 mail.example.com ESMTP\r\n", "there is no answer (RemoteProtocolError)"),
    "hangs up": (b"", "there is no answer (RemoteProtocolError)"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_a_broken_answer_never_replaces_good_keys(
    serve: Serve, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, said = MISBEHAVIOUR[name]
    known, unknown = Signer("known"), Signer("new")
    async with JwksServer(http(jwks(known))) as endpoint:
        app = await serve(endpoint, auth_jwks_url=f"{endpoint.url}?secret=hunter2")
        assert await status(app, known.token()) == 200
        endpoint.answer = answer
        started = time.monotonic()
        waiting = asyncio.create_task(ask(app, unknown.token()))
        while not waiting.done():
            assert await status(app, known.token()) == 200
            await asyncio.sleep(0.01)
        problem(await waiting, 503, "keys_unavailable")
        assert time.monotonic() - started < 4
        assert await status(app, known.token()) == 200
    (line,) = [message for message in caplog.messages if "cannot be fetched" in message]
    assert line.startswith(f"the keys cannot be fetched from {endpoint.url}: {said}")
    assert "The keys at hand stay in use" in line
    assert "hunter2" not in caplog.text
