"""How much of this process one caller gets at once. A rate limit counts requests; this bounds what they hold."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import TooManyRequests

_WAIT_SECONDS = 2.0
# Up to it, the server keeps what the client has not read yet. Beyond, it can be asked to wait until that is little.
_LARGE_ANSWER = 64 * 1024


class FairShare:
    """ASGI middleware, behind authentication: so many requests of one caller are under way at once, at most.

    Without it one caller's slow searches take every connection to the database, and their unread answers all memory.
    A request is under way until its answer is on its way to the client, and a large one has been read.

    Args:
        most: of one caller. Further ones of theirs wait for two seconds, and are then refused (429).
        caller: gives who makes a request, or None on a public path.
    """

    def __init__(self, app: ASGIApp, *, most: int, caller: Callable[[Scope], str | None]) -> None:
        self.app = app
        self._most = most
        self._caller = caller
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._caller(scope) if scope["type"] == "http" else None
        if caller is None:
            await self.app(scope, receive, send)
            return
        share = self._shares.get(caller)
        if share is None:
            share = self._shares[caller] = asyncio.Semaphore(self._most)
        await _acquire(share)
        try:
            await self.app(scope, receive, _until_read(send))
        finally:
            share.release()


async def _acquire(share: asyncio.Semaphore) -> None:
    if not share.locked():
        await share.acquire()
        return
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            await share.acquire()
    except TimeoutError:
        raise TooManyRequests(1) from None


def _until_read(send: Send) -> Send:
    async def send_and_wait(message: Message) -> None:
        if len(message.get("body", b"")) > _LARGE_ANSWER and not message.get("more_body", False):
            await send({**message, "more_body": True})
            message = {"type": "http.response.body"}  # for which the server waits until most of it has gone out
        await send(message)

    return send_and_wait
