"""A signature that was found good is not checked again, and nothing else is taken on trust."""

import asyncio
import base64
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from jwt.algorithms import OKPAlgorithm

from service.identity.jwks import KeySet
from service.identity.keys import Keys
from service.identity.verifier import TokenExpired, TokenInvalid, Verifier
from tests.signing import ISSUER, Signer, jwks

Checks = list[bytes]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """What each check of a signature was of."""
    seen: Checks = []
    verify: Callable[..., bool] = OKPAlgorithm.verify

    def counted(self: OKPAlgorithm, message: bytes, key: Any, signature: bytes) -> bool:
        seen.append(message)
        return verify(self, message, key, signature)

    monkeypatch.setattr(OKPAlgorithm, "verify", counted)
    return seen


class HeldKeys(Keys):
    """Keys that a test may take away."""

    def __init__(self, *signers: Signer) -> None:
        self.held: KeySet | None = KeySet(jwks(*signers), ("EdDSA",))

    async def find(self, kid: str | None) -> Any:
        return self.held.find(kid) if self.held and kid else None


def verifier(keys: Keys, **changes: Any) -> Verifier:
    return Verifier(keys, **({"issuer": ISSUER, "audience": ISSUER, "algorithms": ("EdDSA",)} | changes))


async def test_a_signature_is_checked_once(checks: Checks) -> None:
    signer = Signer()
    verify = verifier(HeldKeys(signer)).verify
    token = signer.token("alice")
    assert {(await verify(token)).user_id for _ in range(5)} == {"alice"}
    assert len(checks) == 1


async def test_a_bad_signature_is_checked_each_time(checks: Checks) -> None:
    verify = verifier(HeldKeys(Signer())).verify
    for _ in range(3):
        with pytest.raises(TokenInvalid):
            await verify(Signer().token())
    assert len(checks) == 3


async def test_a_token_with_the_signature_of_another_is_another(checks: Checks) -> None:
    signer = Signer()
    verify = verifier(HeldKeys(signer)).verify
    of_alice, of_bob = signer.token("alice"), signer.token("bob")
    await verify(of_alice)
    await verify(of_bob)
    head, _, signature = of_alice.split(".")
    with pytest.raises(TokenInvalid):
        await verify(f"{head}.{of_bob.split('.')[1]}.{signature}")
    assert len(checks) == 3


async def test_another_spelling_of_a_known_token_is_refused() -> None:
    signer = Signer()
    verify = verifier(HeldKeys(signer)).verify
    token = signer.token()
    await verify(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    meaning = base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")
    spellings = [
        other
        for last in alphabet
        if (other := token[:-1] + last) != token
        and base64.urlsafe_b64decode(other.rpartition(".")[2] + "==") == meaning
    ]
    assert spellings
    for spelling in (*spellings, f"{token}=", f"{token}==", f"{token} ", f" {token}", f"{token}\n", f"{token}."):
        with pytest.raises(TokenInvalid):
            await verify(spelling)


async def test_a_known_token_expires() -> None:
    signer = Signer()
    verify = verifier(HeldKeys(signer)).verify
    end = math.ceil(time.time()) + 1
    token = signer.token(iat=end - 900, exp=end - 10)  # good until then, by the leeway
    assert await verify(token)
    while time.time() < end - 0.4:
        assert await verify(token)
    await asyncio.sleep(end + 0.01 - time.time())
    with pytest.raises(TokenExpired):
        await verify(token)


async def test_a_known_token_dies_with_its_key(checks: Checks) -> None:
    signer = Signer()
    keys = HeldKeys(signer)
    verify = verifier(keys).verify
    token = signer.token()
    await verify(token)
    keys.held = None
    with pytest.raises(TokenInvalid):
        await verify(token)
    keys.held = KeySet(jwks(Signer()), ("EdDSA",))
    with pytest.raises(TokenInvalid):
        await verify(token)
    assert len(checks) == 2


async def test_only_so_many_are_known(checks: Checks) -> None:
    signer = Signer()
    verify = verifier(HeldKeys(signer)).verify
    first, *others = (signer.token(str(number)) for number in range(10_001))
    for token in (first, *others):
        await verify(token)
    await verify(others[-1])
    assert len(checks) == 10_001
    await verify(first)
    assert len(checks) == 10_002


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("value", ["1", True, None, [], {}, "now", 10**400, -(10**400), 1e300, -1e300])
async def test_a_time_is_a_number_that_can_be_reckoned_with(claim: str, value: Any) -> None:
    signer = Signer()
    other = {"exp": "iat", "iat": "exp", "nbf": "iat"}[claim]
    for fraction in (0, 0.5):
        token = signer.token(**{other: int(time.time()) + fraction, claim: value})
        with pytest.raises(TokenInvalid):
            await verifier(HeldKeys(signer)).verify(token)


async def test_a_time_in_digits_is_none() -> None:
    signer = Signer()
    with pytest.raises(TokenInvalid, match="its times are no times"):
        await verifier(HeldKeys(signer)).verify(signer.token(exp=str(int(time.time()) + 3600)))


async def test_a_time_may_have_a_fraction() -> None:
    signer = Signer()
    token = signer.token(iat=time.time() - 1.5, exp=time.time() + 60.5)
    assert (await verifier(HeldKeys(signer)).verify(token)).user_id == "alice"
