"""No operation without a valid token, whatever else is sent."""

import base64
import inspect
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from service.app import PUBLIC_PATHS
from service.dev.issuer import ISSUER, Issuer
from service.identity import refusals, verifier
from service.settings import Settings
from tests.conftest import MakeApp, http_client

SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
ONE = f"/tasks/{SOME_ID}"
OPERATIONS = [("GET", "/tasks"), ("POST", "/tasks"), ("GET", ONE), ("PUT", ONE), ("PATCH", ONE), ("DELETE", ONE)]

Forge = Callable[..., str]


@pytest.fixture(scope="session")
def private_key(issuer: Issuer) -> jwt.PyJWK:
    return jwt.PyJWK(json.loads((issuer.jwks_file.parent / "private-key.json").read_text()))


@pytest.fixture(scope="session")
def forge(private_key: jwt.PyJWK) -> Forge:
    """A token that is valid but for what is given; None leaves a claim or a header out."""

    def make(*, key: Any = private_key, algorithm: str = "EdDSA", header: Any = None, **claims: Any) -> str:
        now = int(time.time())
        payload = {"iat": now, "exp": now + 900, "sub": "alice", "iss": ISSUER, "aud": ISSUER} | claims
        headers = {"kid": "development", "typ": None} | (header or {})
        return jwt.encode(
            {name: value(now) if callable(value) else value for name, value in payload.items() if value is not None},
            key,
            algorithm,
            headers,
        )

    return make


def segment(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unsigned(header: object, claims: object | None = None) -> str:
    now = int(time.time())
    good = {"iat": now, "exp": now + 900, "sub": "alice", "iss": ISSUER, "aud": ISSUER}
    return f"{segment(header)}.{segment(claims or good)}.{segment('signature')}"


def flipped(token: str) -> str:
    head, payload, signature = token.split(".")
    first = "A" if signature[0] != "A" else "B"
    return f"{head}.{payload}.{first}{signature[1:]}"


def of_somebody_else(token: str) -> str:
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{head}.{segment(claims | {'sub': 'bob'})}.{signature}"


def public_pem(key: jwt.PyJWK) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def hs256(secret: bytes) -> str:
    """HMAC by hand: PyJWT refuses to sign with what looks like a public key."""
    import hashlib
    import hmac

    signed = unsigned({"alg": "HS256", "kid": "development"}).rpartition(".")[0]
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


NOW = int(time.time())

BAD: dict[str, Callable[[Forge, jwt.PyJWK], str]] = {
    "not a token": lambda forge, key: "x",
    "two segments": lambda forge, key: "a.b",
    "four segments": lambda forge, key: forge() + ".x",
    "padding": lambda forge, key: forge() + "=",
    "a space inside": lambda forge, key: forge().replace(".", ". ", 1),
    "too long": lambda forge, key: forge(name="x" * 9000),
    "alg none": lambda forge, key: unsigned({"alg": "none", "kid": "development"}).rpartition(".")[0] + ".",
    "alg None signed": lambda forge, key: unsigned({"alg": "None", "kid": "development"}),
    "alg missing": lambda forge, key: unsigned({"kid": "development"}),
    "alg a list": lambda forge, key: unsigned({"alg": ["EdDSA"], "kid": "development"}),
    "alg an object": lambda forge, key: unsigned({"alg": {}, "kid": "development"}),
    "alg HS256 by a secret": lambda forge, key: hs256(b"x" * 32),
    "alg HS256 by the public PEM": lambda forge, key: hs256(public_pem(key)),
    "alg HS256 by the raw public key": lambda forge, key: hs256(key.key.public_key().public_bytes_raw()),
    "flipped signature": lambda forge, key: flipped(forge()),
    "another's claims": lambda forge, key: of_somebody_else(forge()),
    "no signature": lambda forge, key: forge().rpartition(".")[0] + ".",
    "a foreign key": lambda forge, key: forge(key=Ed25519PrivateKey.generate()),
    "an unknown kid": lambda forge, key: forge(header={"kid": "other"}),
    "an empty kid": lambda forge, key: forge(header={"kid": ""}),
    "a long kid": lambda forge, key: forge(header={"kid": "x" * 300}),
    "a kid that is no string": lambda forge, key: unsigned({"alg": "EdDSA", "kid": 1}),
    "no kid": lambda forge, key: unsigned({"alg": "EdDSA"}),
    "its own key": lambda forge, key: forge(key=Ed25519PrivateKey.generate(), header={"jwk": {"kty": "OKP"}}),
    "crit": lambda forge, key: forge(header={"crit": ["b64"], "b64": True}),
    "typ of another kind": lambda forge, key: forge(header={"typ": "id_token+jwt"}),
    "typ that is no string": lambda forge, key: unsigned({"alg": "EdDSA", "kid": "development", "typ": 1}),
    "header no object": lambda forge, key: unsigned([]),
    "header no JSON": lambda forge, key: unsigned("{"),
    "header nested deep": lambda forge, key: unsigned("[" * 4000),
    "claims no object": lambda forge, key: jwt.api_jws.encode(b"[]", key, "EdDSA", {"kid": "development"}),
    "claims no JSON": lambda forge, key: jwt.api_jws.encode(b"{", key, "EdDSA", {"kid": "development"}),
    "claims no UTF-8": lambda forge, key: jwt.api_jws.encode(b"\xff", key, "EdDSA", {"kid": "development"}),
    "claims nested deep": lambda forge, key: jwt.api_jws.encode(b"[" * 4000, key, "EdDSA", {"kid": "development"}),
    "wrong aud": lambda forge, key: forge(aud="https://elsewhere.example"),
    "wrong aud list": lambda forge, key: forge(aud=["https://elsewhere.example", ISSUER + "/"]),
    "aud no string": lambda forge, key: forge(aud=5),
    "no aud": lambda forge, key: forge(aud=None),
    "wrong iss": lambda forge, key: forge(iss="https://elsewhere.example"),
    "iss with a slash": lambda forge, key: forge(iss=ISSUER + "/"),
    "iss a list": lambda forge, key: jwt.api_jws.encode(
        json.dumps({"iat": NOW, "exp": NOW + 900, "sub": "a", "aud": ISSUER, "iss": [ISSUER]}).encode(),
        key,
        "EdDSA",
        {"kid": "development"},
    ),
    "no iss": lambda forge, key: forge(iss=None),
    "no exp": lambda forge, key: forge(exp=None),
    "exp no number": lambda forge, key: forge(exp="soon"),
    "exp too large": lambda forge, key: forge(exp=1e400),
    "no iat": lambda forge, key: forge(iat=None),
    "iat in the future": lambda forge, key: forge(iat=NOW + 600),
    "nbf in the future": lambda forge, key: forge(nbf=NOW + 600),
    "a life of more than a day": lambda forge, key: forge(exp=lambda now: now + 24 * 3600 + 1),
    "exp before iat": lambda forge, key: forge(iat=lambda now: now + 8, exp=lambda now: now + 4),
    "no sub": lambda forge, key: forge(sub=None),
    "empty sub": lambda forge, key: forge(sub=""),
    "sub no string": lambda forge, key: jwt.api_jws.encode(
        json.dumps({"iat": NOW, "exp": NOW + 900, "sub": 5, "aud": ISSUER, "iss": ISSUER}).encode(),
        key,
        "EdDSA",
        {"kid": "development"},
    ),
    "sub with a quote": lambda forge, key: forge(sub="alice'; SET LOCAL app.user_id = 'bob"),
    "sub with a backslash": lambda forge, key: forge(sub="alice\\"),
    "sub with NUL": lambda forge, key: forge(sub="alice\0"),
    "sub with a newline": lambda forge, key: forge(sub="alice\n"),
    "sub of another alphabet": lambda forge, key: forge(sub="аlice"),  # noqa: RUF001  # that is the attack
    "sub too long": lambda forge, key: forge(sub="x" * 256),
}
EXPIRED: dict[str, Callable[[Forge, jwt.PyJWK], str]] = {
    "expired": lambda forge, key: forge(iat=NOW - 900, exp=NOW - 60),
    "expired long ago": lambda forge, key: forge(iat=0, exp=900),
}


async def refused(response: httpx.Response, code: str) -> None:
    assert response.status_code == 401, response.text
    assert response.json()["code"] == code
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="todo", error="invalid_token", error_description="')


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_opens_no_operation(app: FastAPI, forge: Forge, private_key: jwt.PyJWK, name: str) -> None:
    token = BAD[name](forge, private_key)
    async with http_client(app, token) as client:
        for method, path in OPERATIONS:
            for content in (b'{"title": "x"}', b"{"):
                headers = {"content-type": "application/json"}
                await refused(await client.request(method, path, content=content, headers=headers), "token_invalid")


async def test_an_empty_token_is_none(app: FastAPI) -> None:
    async with http_client(app, "") as client:
        for method, path in OPERATIONS:
            response = await client.request(method, path)
            assert (response.status_code, response.json()["code"]) == (401, "token_missing")
            assert response.headers["www-authenticate"] == 'Bearer realm="todo"'


@pytest.mark.parametrize("name", EXPIRED)
async def test_an_expired_token_is_told_from_a_bad_one(
    app: FastAPI, forge: Forge, private_key: jwt.PyJWK, name: str
) -> None:
    token = EXPIRED[name](forge, private_key)
    async with http_client(app, token) as client:
        for method, path in OPERATIONS:
            await refused(await client.request(method, path, content=b"{"), "token_expired")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "x" * 255},
        {"sub": "auth0|5f7c8ec7c33c6c004bbafe82"},
        {"sub": "user@example.com"},
        {"aud": [ISSUER, "https://elsewhere.example"]},
        {"iat": lambda now: now + 5},  # within the leeway
        {"exp": lambda now: now - 5, "iat": lambda now: now - 900},
        {"name": "Ållïce", "email": "alice@example.com", "role": "admin"},
    ],
    ids=lambda claims: ",".join(claims) or "usual",
)
async def test_a_good_token_opens_the_door(app: FastAPI, forge: Forge, claims: dict[str, Any]) -> None:
    async with http_client(app, forge(**claims)) as client:
        assert (await client.get("/tasks")).status_code == 200


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt"])
async def test_the_usual_types_are_taken(app: FastAPI, forge: Forge, typ: str) -> None:
    async with http_client(app, forge(header={"typ": typ})) as client:
        assert (await client.get("/tasks")).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_case_insensitive(app: FastAPI, forge: Forge, scheme: str) -> None:
    async with http_client(app) as client:
        response = await client.get("/tasks", headers={"authorization": f"{scheme} {forge()}"})
        assert response.status_code == 200


@pytest.mark.parametrize("value", ["", "Basic YTpi", "Token {token}", "{token}", "Bearer{token}"])
async def test_another_scheme_is_no_token(app: FastAPI, forge: Forge, value: str) -> None:
    async with http_client(app) as client:
        response = await client.get("/tasks", headers={"authorization": value.format(token=forge())})
        assert (response.status_code, response.json()["code"]) == (401, "token_missing")


async def test_two_authorization_headers_are_refused(app: FastAPI, forge: Forge) -> None:
    async with http_client(app) as client:
        headers = [("authorization", f"Bearer {forge()}"), ("authorization", f"Bearer {forge(sub='bob')}")]
        await refused(await client.get("/tasks", headers=headers), "token_invalid")


async def test_a_token_counts_in_the_header_alone(app: FastAPI, forge: Forge) -> None:
    token = forge()
    async with http_client(app) as client:
        client.cookies.set("access_token", token)
        response = await client.get(f"/tasks?access_token={token}", headers={"x-authorization": f"Bearer {token}"})
        assert (response.status_code, response.json()["code"]) == (401, "token_missing")


async def test_no_token_appears_in_an_answer_or_in_the_log(
    app: FastAPI, forge: Forge, private_key: jwt.PyJWK, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    marker = secrets.token_hex(8)
    for make in (*BAD.values(), *EXPIRED.values()):
        token = make(lambda **claims: forge(**{"marker": marker} | claims), private_key)
        async with http_client(app, token) as client:
            response = await client.get("/tasks")
        said = f"{response.text}{response.headers}{caplog.text}"
        assert marker not in said
        assert not token or len(token) < 5 or token not in said


async def test_the_public_paths_are_the_only_ones_without_a_token(app: FastAPI) -> None:
    async with http_client(app) as client:
        for path in PUBLIC_PATHS:
            assert (await client.get(path)).status_code == 200
        assert {"/tasks", "/tasks/{id}"} == set(app.openapi()["paths"]) - set(PUBLIC_PATHS)


async def test_a_new_route_is_closed(settings: Settings, make_app: MakeApp) -> None:
    app = make_app(settings)

    @app.get("/brand-new")
    async def brand_new() -> str:
        return "secret"

    @app.get("/livez/more")
    async def more() -> str:
        return "secret"

    async with http_client(app) as client:
        for path in ("/brand-new", "/livez/more"):
            assert (await client.get(path)).status_code == 401


async def test_the_log_says_why_a_token_is_refused_once_a_minute(
    settings: Settings, make_app: MakeApp, forge: Forge, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(settings)
    for _ in range(3):
        for token in (forge(iss=ISSUER + "/"), forge(aud="elsewhere"), forge(iat=NOW - 900, exp=NOW - 60)):
            async with http_client(app, token) as client:
                assert (await client.get("/tasks")).status_code == 401
    assert caplog.messages == [
        "a token is refused: its iss is not the issuer that this API trusts, but for a slash at the end. Mend: "
        f"AUTH_ISSUER is '{ISSUER}'; it has to be the origin of Better Auth's baseURL, to the letter",
        "a token is refused: its aud is not this API. Mend: "
        f"AUTH_AUDIENCE is '{ISSUER}'; it has to be what Better Auth sends, the origin of its baseURL unless "
        "it is told otherwise",
    ]


@pytest.mark.parametrize("begins", refusals._MENDS)
def test_what_a_mend_is_for_is_what_the_verifier_says(begins: str) -> None:
    assert f'"{begins}' in inspect.getsource(verifier)
