"""Whatever is sent for a token is answered with 401, and never with a 500: 5,000 tries by Hypothesis."""

import json
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_decode, base64url_encode

from service.dev.issuer import ISSUER
from tests.conftest import Token
from tests.signing import good_claims

REALM = 'Bearer realm="todo"'
Send = Callable[[bytes], Any]


def tries(number: int) -> settings:
    # One application for all of them: that is the point, not a risk. No deadline: machines differ.
    allowed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=number, deadline=None, suppress_health_check=allowed, database=None)


@pytest.fixture
def send(app: FastAPI) -> Send:
    """Send this for an Authorization header. Straight to ASGI: a client would refuse to send most of it."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def ask(authorization: bytes) -> httpx.Response:
        request = httpx.Request("GET", "http://api.test/tasks", headers=[(b"authorization", authorization)])
        response = await transport.handle_async_request(request)
        await response.aread()
        return response

    return ask


def refused(response: httpx.Response) -> None:
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith(REALM)
    assert response.json()["code"] in ("token_missing", "token_invalid", "token_expired")


@tries(1000)
@given(value=st.binary(max_size=9000))
async def test_random_bytes_are_no_authorization(send: Send, value: bytes) -> None:
    refused(await send(value))


@tries(1000)
@given(value=st.binary(max_size=300))
async def test_random_bytes_are_no_token(send: Send, value: bytes) -> None:
    refused(await send(b"Bearer " + value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "cty", "iss", "aud", "exp", "iat", "nbf", "sub", "jti"]
)
USUAL = st.sampled_from(
    ["EdDSA", "HS256", "none", "development", "JWT", "at+jwt", ISSUER, 0, 2**63, -1, 1e308, ["b64"]]
)
SEGMENT = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(NAMES, USUAL | JSON).map(lambda value: json.dumps(value).encode()),
)


@tries(1500)
@given(segments=st.lists(SEGMENT, min_size=1, max_size=5))
async def test_random_segments_are_no_token(send: Send, segments: list[bytes]) -> None:
    refused(await send(b"Bearer " + b".".join(base64url_encode(segment) for segment in segments)))


@tries(1500)
@given(data=st.data())
async def test_a_real_token_with_a_mutation_is_none(send: Send, token_for: Token, data: st.DataObject) -> None:
    token = token_for("alice")
    mutation = data.draw(st.sampled_from([_with_other_bytes, _cut, _with_other_claims, _with_another_header, _of_two]))
    mutated = mutation(token, data)
    if mutated == token.encode():
        return
    refused(await send(b"Bearer " + mutated))


def _with_other_bytes(token: str, data: st.DataObject) -> bytes:
    at = data.draw(st.integers(0, len(token) - 1))
    put = data.draw(st.binary(min_size=1, max_size=3))
    mutated = token[:at].encode() + put + token[at + data.draw(st.integers(0, 3)) :].encode()
    # Spaces around a token are no part of it (RFC 9110 §5.5).
    return token.encode() if mutated.strip(b" ") == token.encode() else mutated


def _cut(token: str, data: st.DataObject) -> bytes:
    return token[: data.draw(st.integers(0, len(token) - 1))].encode()


def _with_other_claims(token: str, data: st.DataObject) -> bytes:
    head, claims, signature = token.split(".")
    return ".".join((head, _changed(claims, data), signature)).encode()


def _with_another_header(token: str, data: st.DataObject) -> bytes:
    head, claims, signature = token.split(".")
    return ".".join((_changed(head, data), claims, signature)).encode()


def _changed(segment: str, data: st.DataObject) -> str:
    changes = data.draw(st.dictionaries(NAMES, USUAL | JSON, min_size=1, max_size=3))
    changed = json.loads(base64url_decode(segment)) | changes
    return base64url_encode(json.dumps(changed).encode()).decode()


def _of_two(token: str, data: st.DataObject) -> bytes:
    """Parts of a good token, and parts of one that its stranger signed."""
    other = jwt.encode(good_claims("bob", ISSUER), secrets.token_bytes(32), "HS256", {"kid": "development"})
    parts = [data.draw(st.sampled_from(pair)) for pair in zip(token.split("."), other.split("."), strict=True)]
    return ".".join(parts).encode()
