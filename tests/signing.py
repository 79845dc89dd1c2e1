"""What stands in for Better Auth where a test needs keys of its own, and an endpoint that misbehaves."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import get_default_algorithms

ISSUER = "https://auth.example.com"

_MAKE: dict[str, Callable[[], Any]] = {
    "EdDSA": Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
}
ALGORITHMS = tuple(_MAKE)


def good_claims(user_id: str = "alice", issuer: str = ISSUER) -> dict[str, Any]:
    """What a good token claims now."""
    now = int(time.time())
    return {"iat": now, "exp": now + 900, "sub": user_id, "iss": issuer, "aud": issuer}


class Signer:
    """A key pair, and the tokens that it signs."""

    def __init__(self, kid: str = "first", algorithm: str = "EdDSA") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private_key = _MAKE[algorithm]()

    @property
    def public_jwk(self) -> dict[str, Any]:
        algorithm: Any = get_default_algorithms()[self.algorithm]
        public: dict[str, Any] = algorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        # PyJWT lists what the key may be used for, and Better Auth does not.
        public.pop("key_ops", None)
        return public | {"kid": self.kid, "alg": self.algorithm}

    def token(self, user_id: str = "alice", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        headers = {"kid": self.kid, "typ": None} | (header or {})
        return jwt.encode(good_claims(user_id) | claims, self.private_key, self.algorithm, headers)


def jwks(*signers: Signer) -> bytes:
    """The JWKS document of their public keys."""
    return json.dumps({"keys": [signer.public_jwk for signer in signers]}).encode()


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer, as it goes over the wire."""
    head = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", "")
    return "\r\n".join(head).encode() + body


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def after(seconds: float, answer: bytes) -> Answer:
    """An answer that is a while in coming."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(answer)

    return send


class JwksServer:
    """A JWKS endpoint. It sends `answer`, which may be changed, and was `asked` requests at the times of `hits`."""

    def __init__(self, answer: bytes | Answer) -> None:
        self.answer = answer
        self.hits: list[float] = []
        self.asked: list[bytes] = []
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.back()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.away()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/auth/jwks"

    async def away(self) -> None:
        """Refuse connections."""
        self._server.close()

    async def back(self) -> None:
        """Take connections again, on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            self.hits.append(time.monotonic())
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
