"""A real Better Auth server (better-auth/), people who sign up there, and what can happen to its keys."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

FOLDER = Path(__file__).with_name("better-auth")


@dataclass(frozen=True)
class User:
    """Somebody who has signed up.

    Args:
        id: as Better Auth made it, which is the `sub` of the tokens.
        session: a browser's cookies, so to speak.
    """

    id: str
    session: httpx.Client

    def token(self) -> str:
        """A new token, as a page asks for one."""
        answer = self.session.get("/token").raise_for_status()
        token: str = answer.json()["token"]
        return token

    def session_token(self) -> str:
        """The session's cookie, which is for Better Auth alone."""
        return str(self.session.cookies["better-auth.session_token"])

    def cached_session(self) -> str:
        """The session's cookie that is a JWT too. There is one with `cookie_cache`."""
        return str(self.session.cookies["better-auth.session_data"])


class BetterAuth:
    """A server with a database in memory, while the context lasts.

    Args:
        algorithm: of its keys.
        cookie_cache: keeps the session in a cookie, as a JWT that these keys sign as well.
        rate_limit_seconds: limits each address to 100 requests of a path in so many seconds; 0 limits nobody.
        expiration_time: how long a token is good for.
        mistakes: of those that docs/better-auth.md warns of: no-base-url, base-path (is another),
            shared-secret, whole-user (is in the tokens), field-aud (is in their rows).
    """

    def __init__(
        self,
        algorithm: str = "EdDSA",
        *,
        cookie_cache: bool = False,
        rate_limit_seconds: int = 0,
        expiration_time: str = "15m",
        mistakes: Sequence[str] = (),
    ) -> None:
        self._command = [
            "node",
            str(FOLDER / "server.js"),
            f"--algorithm={algorithm}",
            f"--rate-limit-seconds={rate_limit_seconds}",
            f"--expiration-time={expiration_time}",
            *(["--cookie-cache"] if cookie_cache else []),
            *(f"--mistake={mistake}" for mistake in mistakes),
        ]
        self._path = "/auth" if "base-path" in mistakes else "/api/auth"
        self._sessions: list[httpx.Client] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            env={"PATH": os.environ["PATH"]},  # and not a setting of Better Auth that somebody may have
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url: str = self._answer()["url"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in self._sessions:
            session.close()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(15)
        self._process.stdout.close()

    def sign_up(self, **fields: str) -> User:
        """Have somebody new sign up, and perhaps fill in further fields of the form."""
        # Better Auth asks where a POST comes from: a page of its own.
        session = httpx.Client(base_url=f"{self.url}{self._path}", headers={"Origin": self.url})
        self._sessions.append(session)
        somebody = {
            "name": "Ada",
            "email": f"{secrets.token_hex(8)}@example.com",
            "password": secrets.token_hex(8),
        } | fields
        answer = session.post("/sign-up/email", json=somebody).raise_for_status()
        return User(answer.json()["user"]["id"], session)

    def rotate(self) -> None:
        """It is time for a new key: Better Auth makes it when it next signs a token."""
        self._tell("rotate")

    def drop(self, kid: str) -> None:
        """A key is over, and its grace period too: it is listed no more."""
        self._tell("drop", kid=kid)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody listens at its address; it forgets nothing. It can come back early."""
        self._tell("away")
        try:
            yield
        finally:
            self.back()

    def back(self) -> None:
        """It listens again, if it did not."""
        self._tell("back")

    @contextmanager
    def slow(self, milliseconds: int) -> Iterator[None]:
        """The key set is a while in coming."""
        self._tell("delay", milliseconds=milliseconds)
        try:
            yield
        finally:
            self._tell("delay", milliseconds=0)

    def jwks_hits(self) -> list[float]:
        """When somebody asked for the key set, in seconds."""
        hits: list[float] = self._tell("jwks_hits")
        return hits

    def _tell(self, what: str, **parameters: str | int) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": what, **parameters}) + "\n")
        self._process.stdin.flush()
        return self._answer()["done"]

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the server of Better Auth has ended; was `make e2e` what started this?"
        return json.loads(line)
