"""Cursors: where a page begins, carried by the client from one request to the next, and by nobody else."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from service.identity.bearer import caller_of
from service.identity.caller import Caller


class BrokenCursor(ValueError):
    """This text is no cursor of this caller about this."""


class CursorsOf:
    """Signs cursors (HMAC-SHA256, RFC 2104) for one caller.

    Args:
        key: of the signature; at least 32 bytes.
        caller: who alone can use them.
    """

    def __init__(self, key: bytes, caller: Caller) -> None:
        self._key = key
        self._caller = caller

    def seal(self, content: str, *, about: str) -> str:
        """A cursor with this content, in letters that need no escape in a URL.

        Args:
            content: any text; the client can read it.
            about: what the cursor is for; to be told again, alike, when it comes back.
        """
        payload = urlsafe_b64encode(content.encode()).decode().rstrip("=")
        return f"{payload}.{self._signature(payload, about)}"

    def open(self, cursor: str, *, about: str) -> str:
        """The content of a cursor.

        Raises:
            BrokenCursor: when it was altered, or made for another caller or about something else.
        """
        payload, _, signature = cursor.partition(".")
        # As text, so that there is one spelling: base64 has several for the same bytes.
        if not hmac.compare_digest(signature.encode(), self._signature(payload, about).encode()):
            raise BrokenCursor
        return urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()

    def _signature(self, payload: str, about: str) -> str:
        signed = json.dumps([self._caller.user_id, about, payload]).encode()
        return urlsafe_b64encode(hmac.digest(self._key, signed, "sha256")).decode().rstrip("=")


async def cursors(request: Request) -> CursorsOf:
    """The cursors of whoever makes this request.

    Raises:
        LookupError: on a public path, which has no caller.
    """
    key: SecretStr = request.app.state.cursor_key
    return CursorsOf(key.get_secret_value().encode(), caller_of(request))


CallersCursors = Annotated[CursorsOf, Depends(cursors)]
