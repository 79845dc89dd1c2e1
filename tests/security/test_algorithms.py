"""Every algorithm that Better Auth signs with, and every way to pass one off as another."""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from jwt.utils import base64url_encode
from pydantic import SecretStr

from service.identity.jwks import KeySet, NoKeys
from service.settings import Settings
from tests.conftest import MakeApp, http_client
from tests.security.test_keys import ask, status
from tests.security.test_tokens import segment
from tests.signing import ALGORITHMS, ISSUER, JwksServer, Signer, good_claims, http, jwks

AppOf = Callable[..., FastAPI]
SECRET = "a shared secret of 32 bytes or more"


@pytest.fixture
def app_of(settings: Settings, make_app: MakeApp, tmp_path: Path) -> AppOf:
    """An application that has the keys of these signers in a file, or a shared secret."""

    def make(*signers: Signer, **changes: Any) -> FastAPI:
        file = tmp_path / "jwks.json"
        file.write_bytes(jwks(*signers))
        ours = {"auth_issuer": ISSUER, "auth_audience": ISSUER, "auth_jwks_file": file, "auth_algorithms": ALGORITHMS}
        return make_app(settings.model_copy(update=ours | changes))

    return make


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_is_good_when_its_own_key_signed_it(app_of: AppOf, algorithm: str) -> None:
    signer, stranger = Signer("key", algorithm), Signer("key", algorithm)
    app = app_of(signer)
    assert await status(app, signer.token()) == 200
    assert await status(app, stranger.token()) == 401
    assert await status(app, signer.token()) == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_key_signs_with_its_own_algorithm_alone(app_of: AppOf, algorithm: str) -> None:
    keys = [Signer(algorithm, algorithm) for algorithm in ALGORITHMS]
    app = app_of(*keys)
    for key in keys:
        answer = await ask(app, key.token(header={"kid": algorithm}))
        if key.algorithm == algorithm:
            assert answer.status_code == 200
        else:
            assert answer.json()["detail"] == "The token is refused: its alg is not that of its key."


async def test_one_rsa_key_is_not_for_both_paddings(app_of: AppOf) -> None:
    signer = Signer("rsa", "RS256")
    app = app_of(signer)
    assert await status(app, signer.token()) == 200
    signer.algorithm = "PS256"
    assert await status(app, signer.token()) == 401


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_an_algorithm_that_is_not_set_is_refused(app_of: AppOf, algorithm: str) -> None:
    other = Signer("other", "ES256" if algorithm == "EdDSA" else "EdDSA")
    signer = Signer("key", algorithm)
    app = app_of(signer, other, auth_algorithms=(other.algorithm,))
    assert await status(app, other.token()) == 200
    assert await status(app, signer.token()) == 401


def _forms(signer: Signer) -> dict[str, bytes]:
    """All that an attacker who read /api/auth/jwks could try as an HMAC secret."""
    public: Any = signer.private_key.public_key()
    jwk = signer.public_jwk
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forms = {
        "PEM": pem,
        "PEM without its last newline": pem.rstrip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk).encode(),
        "JWK without spaces": json.dumps(jwk, separators=(",", ":")).encode(),
        "JWKS": jwks(signer),
        "nothing": b"",
    }
    for member in ("x", "y", "n"):
        if member in jwk:
            forms[f"{member} as text"] = jwk[member].encode()
            forms[f"{member} raw"] = jwt.utils.base64url_decode(jwk[member])
    if isinstance(public, ec.EllipticCurvePublicKey):
        forms["point"] = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(public, rsa.RSAPublicKey):
        forms["PKCS 1"] = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    return forms


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_public_key_is_no_shared_secret(app_of: AppOf, algorithm: str, digest: str) -> None:
    signer = Signer("key", algorithm)
    app = app_of(signer)
    _, claims, _ = signer.token().split(".")
    for name, secret in _forms(signer).items():
        for alg in (f"HS{digest[3:]}", algorithm):
            signed = f"{segment({'alg': alg, 'kid': 'key'})}.{claims}"
            mac = hmac.new(secret, signed.encode(), digest).digest()
            assert await status(app, f"{signed}.{base64url_encode(mac).decode()}") == 401, name


async def test_a_key_that_a_token_brings_along_is_ignored(app_of: AppOf) -> None:
    signer, stranger = Signer("key"), Signer("stranger")
    app = app_of(signer)
    async with JwksServer(http(jwks(stranger))) as endpoint:
        brought: list[dict[str, Any]] = [
            {"jwk": stranger.public_jwk},
            {"jku": endpoint.url},
            {"x5u": endpoint.url},
            {"x5c": ["MIIB"]},
            {"jwk": stranger.public_jwk, "jku": endpoint.url, "x5u": endpoint.url},
        ]
        for header in brought:
            for kid in ("key", "stranger", ""):
                assert await status(app, stranger.token(header=header | {"kid": kid})) == 401
            assert await status(app, signer.token(header=header)) == 200  # ignored, and no more
        assert endpoint.hits == []


# --- what may be in a key set ---


def _of(signer: Signer, **changes: Any) -> dict[str, Any]:
    jwk = signer.public_jwk | changes
    return {name: value for name, value in jwk.items() if value is not None}


def _private(signer: Signer) -> dict[str, Any]:
    algorithm: Any = jwt.algorithms.get_default_algorithms()[signer.algorithm]
    private: dict[str, Any] = algorithm.to_jwk(signer.private_key, as_dict=True)
    return private | {"kid": signer.kid, "alg": signer.algorithm}


def _short_rsa() -> dict[str, Any]:
    signer = Signer("rsa", "RS256")
    signer.private_key = rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is what is wrong with it
    return signer.public_jwk


UNUSABLE: dict[str, Callable[[], Any]] = {
    "private Ed25519": lambda: _private(Signer("a")),
    "private P-256": lambda: _private(Signer("a", "ES256")),
    "private RSA": lambda: _private(Signer("a", "RS256")),
    "symmetric": lambda: {"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"},
    "symmetric in disguise": lambda: _of(Signer("a"), k="c2VjcmV0"),
    "without a kid": lambda: _of(Signer("a"), kid=None),
    "with an empty kid": lambda: _of(Signer("a"), kid=""),
    "with a kid that is a number": lambda: _of(Signer("a"), kid=5),
    "for encryption": lambda: _of(Signer("a"), use="enc"),
    "for signing": lambda: _of(Signer("a"), key_ops=["sign"]),
    "with key_ops that are no list": lambda: _of(Signer("a"), key_ops=5),
    "of an unknown kind": lambda: _of(Signer("a"), kty="XYZ"),
    "of an unknown curve": lambda: _of(Signer("a"), crv="P-1"),
    "of an algorithm that is not set": lambda: _of(Signer("a", "ES512")),
    "of another algorithm than its kind": lambda: _of(Signer("a"), alg="RS256"),
    "of another algorithm than its curve": lambda: _of(Signer("a", "ES512"), alg="ES256"),
    "with an alg that is no string": lambda: _of(Signer("a"), alg=["EdDSA"]),
    "an RSA key of 1024 bits": _short_rsa,
    "a point that is not on its curve": lambda: _of(Signer("a", "ES256"), x=Signer("b", "ES256").public_jwk["x"]),
    "cut short": lambda: _of(Signer("a"), x="AA"),
    "no object": lambda: "key",
    "nothing": lambda: None,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_is_not_usable_is_left_out_and_the_others_stay(name: str, caplog: pytest.LogCaptureFixture) -> None:
    good = Signer("good")
    unusable = UNUSABLE[name]()
    document = json.dumps({"keys": [unusable, good.public_jwk]}).encode()
    keys = KeySet(document, ("EdDSA", "ES256", "RS256"))
    assert keys.find("good") is not None
    assert keys.find("a") is None
    (line,) = caplog.messages
    assert line.startswith("key 0 of the key set is left out: ")
    for value in unusable.values() if isinstance(unusable, dict) else ():
        assert len(str(value)) < 8 or str(value) not in caplog.text  # nothing of the key is quoted
    with pytest.raises(NoKeys):
        KeySet(json.dumps({"keys": [unusable]}).encode(), ("EdDSA", "ES256", "RS256"))


@pytest.mark.parametrize("listed", [101, 100_000])
def test_a_key_set_that_is_endless_is_none(listed: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NoKeys, match="it lists more than 100 keys"):
        KeySet(b'{"keys": [' + b"1," * (listed - 1) + b"1]}", ("EdDSA",))
    assert caplog.messages == []


def test_of_two_keys_of_one_name_the_first_counts(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Signer("same"), Signer("same")
    keys = KeySet(jwks(first, second), ("EdDSA",))
    found = keys.find("same")
    assert found is not None
    assert found.key.public_bytes_raw() == first.private_key.public_key().public_bytes_raw()
    assert caplog.messages == ["key 1 of the key set is left out: its kid stands there twice"]


# --- the shared secret ---


def shared(secret: str = SECRET, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token as a custom `jwt.sign` of Better Auth's would make it."""
    return jwt.encode(good_claims() | claims, secret, "HS256", {"typ": "JWT"} | (header or {}))


@pytest.fixture
def app_of_secret(app_of: AppOf) -> FastAPI:
    return app_of(Signer(), auth_jwks_file=None, auth_shared_secret=SecretStr(SECRET))


@pytest.mark.parametrize("header", [{}, {"kid": "whatever"}], ids=["no kid", "kid"])
async def test_the_shared_secret_opens_the_door(app_of_secret: FastAPI, header: dict[str, Any]) -> None:
    assert await status(app_of_secret, shared(header=header)) == 200


async def test_with_a_shared_secret_all_else_is_judged_as_ever(app_of_secret: FastAPI) -> None:
    for token in (
        shared("another secret of 32 bytes or more"),
        shared(aud="https://elsewhere.example"),
        shared(iss="https://elsewhere.example"),
        shared(exp=1),
        shared(sub=""),
        shared()[:-2] + "xx",
        jwt.encode({}, SECRET * 2, "HS512"),
        shared().rpartition(".")[0] + ".",
    ):
        assert await status(app_of_secret, token) == 401


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_with_a_shared_secret_no_key_pair_is_known(app_of_secret: FastAPI, algorithm: str) -> None:
    assert await status(app_of_secret, Signer("key", algorithm).token()) == 401


async def test_without_a_shared_secret_none_is_taken(app_of: AppOf) -> None:
    for kid in ("first", None):
        assert await status(app_of(Signer()), shared(header={"kid": kid} if kid else {})) == 401


async def test_readiness_knows_no_age_of_a_secret(app_of_secret: FastAPI) -> None:
    async with http_client(app_of_secret) as client:
        assert (await client.get("/readyz")).json() == {"status": "ok", "keys_age_seconds": None}
