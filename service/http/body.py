"""Request bodies: how large, of which type, and what JSON is (RFC 8259)."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from email.message import Message as MimeMessage
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import ContentTooLarge, InvalidRequest, UnsupportedMediaType, problem_response

LARGEST_BODY = 64 * 1024
_LINGER_BYTES = 1024 * 1024
_LINGER_SECONDS = 1.0

MEDIA_TYPES = {
    "POST": ("application/json",),
    "PUT": ("application/json",),
    "PATCH": ("application/json", "application/merge-patch+json"),
}


class RequestBody:
    """ASGI middleware: reads the body of a POST, PUT or PATCH whole, so that what follows gets strict JSON.

    A client that is slow or goes away has then not yet cost a database connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in MEDIA_TYPES:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            body = await _read(receive, headers.get("content-length"))
        except ContentTooLarge as problem:
            answer = problem_response(scope, problem)
            answer.headers["Connection"] = "close"  # what is left of the body after that, nobody reads
            await answer(scope, receive, _lingering(receive, send))
            return
        if body is None:
            return  # the client went away
        if body:
            _check_media_type(scope["method"], headers)
            _check_json(body)
        await self.app(scope, _replay(body, receive), send)


async def _read(receive: Receive, content_length: str | None) -> bytes | None:
    if content_length and content_length.isdecimal() and int(content_length[:20]) > LARGEST_BODY:
        raise ContentTooLarge(LARGEST_BODY)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            raise ContentTooLarge(LARGEST_BODY)
    return bytes(body)


def _lingering(receive: Receive, send: Send) -> Send:
    """Send an answer at once, but end it only when the client has sent what it is sending, within bounds.

    RFC 9112 §9.6: a connection that is closed on bytes that nobody read is reset, and the answer may be lost with it.
    """

    async def send_and_linger(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    await _discard(receive)
            message = {"type": "http.response.body"}
        await send(message)

    return send_and_linger


async def _discard(receive: Receive) -> None:
    left = _LINGER_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return


def _replay(body: bytes, receive: Receive) -> Receive:
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _check_media_type(method: str, headers: Headers) -> None:
    """RFC 9110 §15.5.16: the type and the encoding of the content."""
    accepted = MEDIA_TYPES[method]
    content_types = headers.getlist("content-type")
    readable = len(content_types) == 1 and _is_json(content_types[0], accepted)
    if not readable or "content-encoding" in headers:
        raise UnsupportedMediaType(accepted, method=method)


def _is_json(content_type: str, accepted: Sequence[str]) -> bool:
    header = MimeMessage()
    header["content-type"] = content_type
    try:
        charset = header.get_param("charset", "utf-8")
    except ValueError:  # RFC 2231 has more forms of a parameter than the parser can bear
        return False
    return header.get_content_type() in accepted and isinstance(charset, str) and charset.lower() == "utf-8"


def _check_json(body: bytes) -> None:
    """RFC 8259, with what it leaves open refused: names twice, NaN, numbers and depths without bound."""
    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=_names_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise malformed_json(f"See line {error.lineno}, column {error.colno}.") from None
    except _NameTwice:
        raise InvalidRequest.at("", "repeated", "A name stands twice in one object.") from None
    except UnicodeDecodeError:
        raise malformed_json("It is not in UTF-8.") from None
    except (ValueError, RecursionError):
        raise malformed_json(
            "NaN and Infinity are no JSON; numbers and nesting have to be of a sensible size."
        ) from None


def malformed_json(why: str) -> InvalidRequest:
    """The 422 for a body that is no JSON, or more of it than can be read."""
    return InvalidRequest.at("", "malformed_json", f"This is not JSON as RFC 8259 has it. {why}")


class _NameTwice(ValueError):
    pass


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NameTwice
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
