"""Whatever is sent, a really running server refuses it as documented, repeats nothing of it, and stays small."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import pytest_asyncio

from service.dev.issuer import Issuer
from tests.conftest import Database, new_user
from tests.servers import todo_api_server

MARKER = "x7Qp0cGJX5mB"
DEEP = 100_000
ONE = "/tasks/01890a5d-ac96-774b-bcce-b302099a8057"


def body(content: bytes | str) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


# What is sent as a body of POST, PUT and PATCH: what each must get.
BODIES: dict[str, tuple[bytes, int]] = {
    "2,800 names": (body("{" + ",".join(f'"{MARKER}{n:04}":1' for n in range(2800)) + "}"), 422),
    "6,000 short names": (body("{" + ",".join(f'"{n}":1' for n in range(6000)) + "}"), 422),
    "a deep array": (b"[" * 60_000, 422),
    "a deep array that ends": (b'{"title":' + b"[" * 30_000 + b"]" * 30_000 + b"}", 422),
    "deep objects": (b'{"a":' * 12_000, 422),
    "a deep array beyond the limit": (b"[" * DEEP + b"]" * DEEP, 413),
    "10,000 names beyond the limit": (body("{" + ",".join(f'"{MARKER}{n}":1' for n in range(10_000)) + "}"), 413),
    "a 5,000-digit number": (b'{"title":' + b"9" * 5000 + b"}", 422),
    "a 5,000-digit float": (b'{"title":1.' + b"9" * 5000 + b"}", 422),
    "1e400": (b'{"title":1e400}', 422),
    "invalid UTF-8": (b'{"title":"' + MARKER.encode() + b'\xff\xfe"}', 422),
    "an overlong encoding": (b'{"title":"\xc0\xaf"}', 422),
    "an encoded surrogate": (b'{"title":"\xed\xa0\x80"}', 422),
    "UTF-16": ('{"title":"x"}'.encode("utf-16"), 422),
    "a BOM": (b'\xef\xbb\xbf{"title":"x"}', 422),
    "duplicate keys": (b'{"title":"x","title":"y"}', 422),
    "NaN": (b'{"title":NaN}', 422),
    "-Infinity": (b'{"title":"x","description":-Infinity}', 422),
    "NUL": (b'{"title":"' + MARKER.encode() + b'\\u0000"}', 422),
    "a raw NUL": (b'{"title":"\x00"}', 422),
    "a lone surrogate": (b'{"title":"' + MARKER.encode() + b'\\ud800"}', 422),
    "a lone surrogate in a name": (b'{"title":"x","\\udfff":1}', 422),
    "a NUL in a name": (b'{"title":"x","\\u0000":1}', 422),
    "nothing": (b"", 422),
    "not JSON": (body(MARKER), 422),
    "two values": (b'{"title":"x"}{"title":"y"}', 422),
    "a comment": (b'{"title":"x"/**/}', 422),
}
# What is sent in a path or a query.
TARGETS: dict[str, int] = {
    "/tasks/%00": 422,
    f"/tasks/{MARKER}": 422,
    "/tasks/%FF%FE": 422,
    "/tasks/%ED%A0%80": 422,
    "/tasks/" + "9" * 5000: 422,
    "/tasks/" + "[" * 10_000: 422,
    "/tasks/%EF%BB%BF01890a5d-ac96-774b-bcce-b302099a8057": 422,
    "/tasks/..%2f..%2fetc": 404,
    f"/{MARKER}": 404,
    "/%00": 404,
    "/%FF": 404,
    "/tasks?q=%00": 422,
    "/tasks?q=%FF": 422,
    "/tasks?q=%ED%A0%80": 422,
    f"/tasks?{MARKER}=1": 422,
    f"/tasks?q={MARKER}&q={MARKER}": 422,
    "/tasks?limit=" + "9" * 5000: 422,
    "/tasks?limit=NaN": 422,
    f"/tasks?sort={MARKER}": 422,
    f"/tasks?cursor={MARKER}": 422,
    "/tasks?cursor=" + "A" * 20_000: 422,
    "/tasks?" + "&".join(f"{n}=1" for n in range(6000)): 422,
    "/tasks?" + "&".join("status=Todo" for _ in range(3000)): 422,
    f"/tasks?updated_since={MARKER}": 422,
    "/tasks?%EF%BB%BFq=x": 422,
}
HEADERS: list[tuple[str, bytes, int]] = [
    ("Idempotency-Key", b"\xff\xfe", 422),
    ("Idempotency-Key", b"9" * 5000, 422),
    ("Idempotency-Key", MARKER.encode() + b" x", 422),
    ("If-Match", b"\xff", 422),
    ("If-Match", MARKER.encode(), 422),
    ("If-Match", b'"' + b"," * 20_000, 422),
    ("If-Match", b'"a" ,' + b" ," * 10_000 + b"x", 422),
    ("If-Match", b'"' + MARKER.encode() + b'"', 404),
    ("Content-Type", MARKER.encode(), 415),
    ("Content-Type", b"application/json; charset=" + b"9" * 5000, 415),
    ("Content-Type", b"\xff", 415),
    ("Content-Encoding", MARKER.encode(), 415),
    ("Authorization", b"Bearer " + MARKER.encode(), 401),
    ("Authorization", b"Bearer \xff\xfe", 401),
    ("Authorization", b"Bearer " + b"[" * 20_000, 401),
    ("Authorization", b"Bearer " + b"9" * 5000 + b"." + b"9" * 5000 + b".x", 401),
]


@dataclass
class Server:
    port: int
    process: psutil.Process
    token: str

    async def answer(self, method: str, target: str, content: bytes = b"", *headers: tuple[str, bytes]) -> bytes:
        """Send a request byte for byte, and give all that comes back."""
        sent = {
            "Host": b"api.test",
            "Authorization": b"Bearer " + self.token.encode(),
            "Content-Type": b"application/json",
            "Content-Length": str(len(content)).encode(),
            "Connection": b"close",
        } | dict(headers)
        head = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in sent.items() if value)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {target} HTTP/1.1\r\n".encode() + head + b"\r\n" + content)
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return received


@pytest_asyncio.fixture(scope="module")
async def api(database: Database, issuer: Issuer) -> AsyncIterator[Server]:
    with todo_api_server(database.api_url, issuer, RATE_LIMIT="off") as (port, pid):
        yield Server(port, psutil.Process(pid), issuer.token(new_user(), expires_in=3600))


def refused(received: bytes, status: int) -> None:
    head, _, content = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head[:200]
    assert MARKER.encode() not in received
    if status >= 400:
        assert b"application/problem+json" in head
        assert json.loads(content)["status"] == status
        assert len(content) < 3000


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_refused(api: Server, method: str, name: str) -> None:
    content, status = BODIES[name]
    refused(await api.answer(method, "/tasks" if method == "POST" else ONE, content), status)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:40])
async def test_a_hostile_path_or_query_is_refused(api: Server, target: str) -> None:
    refused(await api.answer("GET", target), TARGETS[target])


@pytest.mark.parametrize(("name", "value", "status"), HEADERS, ids=lambda value: str(value)[:40])
async def test_a_hostile_header_is_refused(api: Server, name: str, value: bytes, status: int) -> None:
    method, target = ("PATCH", ONE) if name == "If-Match" else ("POST", "/tasks")
    refused(await api.answer(method, target, b'{"title":"x"}', (name, value)), status)


@pytest.mark.parametrize(
    "sent",
    [
        b"x7Qp0cGJX5mB\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: a\r\nX: x7Qp0cGJX5mB\x00\r\n\r\n",
        b"BREW /tasks HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /tasks?q=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_problem_too(api: Server, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(sent)
    received = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    refused(received, 400)
    head, _, content = received.partition(b"\r\n\r\n")
    problem = json.loads(content)
    assert problem["code"] == "bad_request"
    assert f"X-Request-Id: {problem['request_id']}".encode() in head


async def exchange(api: Server, *sent: bytes, seconds: float = 5) -> bytes:
    """Write pieces, a moment apart, and read until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    for piece in sent:
        writer.write(piece)
        await asyncio.sleep(0.05)
    received = await asyncio.wait_for(reader.read(), seconds)
    writer.close()
    return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", received)]


HEAD = b" HTTP/1.1\r\nHost: a\r\n"
LIVE = b"GET /livez" + HEAD + b"\r\n"

LENGTHS_IN_DOUBT = {
    "a length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 4",
    "another coding": b"Transfer-Encoding: xchunked",
    "chunks that are not the last coding": b"Transfer-Encoding: chunked, identity",
    "a space before the colon": b"Transfer-Encoding : chunked",
    "a length with a sign": b"Content-Length: +4",
    "two lengths in one": b"Content-Length: 4, 4",
    "one length twice": b"Content-Length: 4\r\nContent-Length: 4",
    "a folded header": b"X: a\r\n b\r\nContent-Length: 4",
    "a line that ends with LF alone": b"X: a\nContent-Length: 4",
    "a line that ends with CR alone": b"X: a\rContent-Length: 4",
}


@pytest.mark.parametrize("name", LENGTHS_IN_DOUBT)
async def test_a_request_whose_end_is_in_doubt_is_refused_and_what_follows_never_read(api: Server, name: str) -> None:
    """A proxy may have seen its end elsewhere, and so another request behind it (RFC 9112 §11.2)."""
    token = b"Authorization: Bearer " + api.token.encode()
    head = b"POST /tasks" + HEAD + token + b"\r\nContent-Type: application/json\r\n" + LENGTHS_IN_DOUBT[name]
    assert statuses(await exchange(api, head + b"\r\n\r\n0\r\n\r\n" + LIVE)) == [400]


@pytest.mark.parametrize("head", [b"X: " + b"x" * 400_000, b"X: x\r\n" * 60_000, b""])
async def test_a_head_without_an_end_is_refused(api: Server, head: bytes) -> None:
    received = await exchange(api, b"GET /tasks" + (HEAD + head if head else b"?q=" + b"x" * 400_000))
    refused(received, 431)
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "head_too_large"


@pytest.mark.parametrize(("kilobytes", "expected"), [(60, 200), (100, 431)])
async def test_a_head_may_have_64_kib(api: Server, kilobytes: int, expected: int) -> None:
    pieces = [b"X: " + b"x" * 9995 + b"\r\n"] * (kilobytes // 10)
    end = b"Connection: close\r\n\r\n"
    assert statuses(await exchange(api, b"GET /livez" + HEAD, *pieces, end)) == [expected]


async def test_many_requests_in_one_piece_are_no_large_head(api: Server) -> None:
    received = await exchange(api, LIVE * 2000 + b"GET /livez" + HEAD, b"Connection: close\r\n\r\n")
    assert statuses(received) == [200] * 2001


async def test_a_trailer_is_no_header(api: Server) -> None:
    chunked = b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
    token = b"Authorization: Bearer " + api.token.encode() + b"\r\n"
    assert statuses(await exchange(api, b"GET /tasks" + HEAD + chunked + b"\r\n0\r\n" + token + b"\r\n")) == [401]
    key = b"Content-Type: application/json\r\n" + token + chunked + b'\r\nd\r\n{"title":"x"}\r\n0\r\n'
    created = await exchange(
        api, b"POST /tasks" + HEAD + key + b"X-Request-Id: trailer\r\nIdempotency-Key: \xff\r\n\r\n"
    )
    assert statuses(created) == [201]
    assert b"trailer" not in created


async def send_on(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """For five seconds, or until the server ends the connection."""
    for _ in range(100):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_trailers_are_bounded(api: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(b"POST /tasks" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    assert statuses(await reader.readuntil(b"\r\n\r\n")) == [401]
    with pytest.raises(ConnectionError):
        await send_on(writer, b"X: " + b"y" * 9995 + b"\r\n")


async def test_a_good_request_is_answered_whatever_comes_behind_it(api: Server) -> None:
    assert statuses(await exchange(api, LIVE + b"\0\r\n\r\n")) == [200]
    token = b"Authorization: Bearer " + api.token.encode() + b"\r\nContent-Type: application/json\r\n"
    post = b"POST /tasks" + HEAD + token + b'Content-Length: 13\r\n\r\n{"title":"x"}'
    assert statuses(await exchange(api, post + post + b"\0")) == [201, 201]


async def test_nothing_is_answered_after_a_refusal(api: Server) -> None:
    assert statuses(await exchange(api, b"\0\r\n\r\n", LIVE, LIVE)) == [400]


async def test_who_sends_on_after_a_refusal_is_cut_off(api: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(b"\0\r\n\r\n" + b"x" * 500_000)
    await asyncio.sleep(0.3)  # still sending, and not yet listening
    writer.write(b"x" * 500_000)
    refused(await asyncio.wait_for(reader.read(), 5), 400)
    with pytest.raises(ConnectionError):
        await send_on(writer, b"x" * 1000)


async def test_uploads_that_stall_do_not_lock_their_sender_out(api: Server) -> None:
    head = b"Authorization: Bearer " + api.token.encode() + b"\r\nContent-Type: application/json\r\n"
    stalled = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(20)]
    for _, writer in stalled:
        writer.write(b"POST /tasks" + HEAD + head + b"Content-Length: 1000\r\n\r\n{")
    await asyncio.sleep(0.1)
    assert (await api.answer("GET", "/tasks?limit=1")).startswith(b"HTTP/1.1 200 ")
    for _, writer in stalled:
        writer.transport.abort()


@pytest.mark.parametrize("at_once", [1, 2, 5])
async def test_who_asks_and_hangs_up_writes_nothing_into_the_log(
    database: Database, issuer: Issuer, tmp_path: Path, at_once: int
) -> None:
    log = tmp_path / "log"
    large = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    with log.open("w") as stderr, todo_api_server(database.api_url, issuer, stderr=stderr) as (port, _):
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(large * at_once)
            await asyncio.sleep(0.02)
            writer.transport.abort()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/livez")).status_code == 200
    said = log.read_text()
    assert "ERROR" not in said
    assert "Traceback" not in said


async def test_after_a_413_the_connection_is_closed(api: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"POST /tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
        + api.token.encode()
        + b"\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    )
    received = await asyncio.wait_for(reader.read(), 5)  # until it is closed
    refused(received, 413)
    assert b"\r\nconnection: close\r\n" in received.lower()
    writer.close()


async def test_whoever_sends_a_megabyte_before_they_listen_learns_that_it_is_too_large(api: Server) -> None:
    for length in (b"1000000", b""):
        head = (("Content-Length", length), ("Transfer-Encoding", b"" if length else b"chunked"))
        content = b" " * 1_000_000 if length else b"f4240\r\n" + b" " * 1_000_000 + b"\r\n0\r\n\r\n"
        refused(await api.answer("POST", "/tasks", content, *head), 413)


async def test_65_kib_without_a_length_is_413_before_it_is_read_whole(api: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        b"POST /tasks HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        b"Authorization: Bearer " + api.token.encode() + b"\r\n\r\n"
    )
    for _ in range(65):
        writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
    # The last chunk never comes, and the answer does.
    received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert received.startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_the_server_stays_small_over_all_of_it(api: Server) -> None:
    async def everything() -> None:
        requests = [api.answer("POST", "/tasks", content) for content, _ in BODIES.values()]
        requests += [api.answer("GET", target) for target in TARGETS]
        requests += [api.answer("PATCH", ONE, b"{}", (name, value)) for name, value, _ in HEADERS]
        await asyncio.gather(*requests)

    await everything()
    before = api.process.memory_info().rss
    for _ in range(10):
        await everything()
    assert api.process.memory_info().rss - before < 20 * 1024 * 1024
