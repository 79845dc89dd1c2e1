"""The headers of every response, and the id that a request goes by."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization, Origin",
}


class ResponseHeaders:
    """ASGI middleware, the outermost. Puts the request id into `scope["state"]["request_id"]`.

    What others put into `scope["state"]["headers"]` goes out too, whoever makes the response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        more: dict[str, str] = {}
        scope.setdefault("state", {}).update(request_id=request_id, headers=more)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.update(EVERYWHERE)
                headers.update(more)
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}  # RFC 9110 §9.3.2
            await send(message)

        await self.app(scope, receive, with_headers)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """32 hexadecimal digits, by chance."""
    return uuid.uuid4().hex
