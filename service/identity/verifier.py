"""What makes a token valid: RFC 7519, with the advice of RFC 8725 (best current practices) taken."""

import hashlib
import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from cachetools import TLRUCache
from jwt.types import Options
from jwt.utils import base64url_decode

from service.http.problems import Unauthorized
from service.identity.caller import Caller
from service.identity.keys import Keys

_LONGEST_TOKEN = 8192
_LONGEST_KID = 255
_MOST_CHECKED = 10_000
_END_OF_TIME = 1e12  # in the year 33658
# Three segments of base64url, none empty, without padding (RFC 7515 §3.1).
_COMPACT_JWS = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_TYPES = (None, "jwt", "at+jwt")
# Each is named: PyJWT would leave them all unjudged along with the signature.
_CLAIMS: Options = {
    "require": ["exp", "iat", "iss", "aud", "sub"],
    "verify_exp": True,
    "verify_iat": True,
    "verify_nbf": True,
    "verify_iss": True,
    "verify_aud": True,
    "verify_sub": True,
    "verify_jti": True,
}


class TokenMissing(Unauthorized):
    """Unauthorized  401
    ├── TokenMissing
    └── TokenInvalid
        └── TokenExpired
    """

    code = "token_missing"

    def __init__(self) -> None:
        super().__init__("Send a token: Authorization: Bearer <JWT>.")
        self.headers = {"WWW-Authenticate": 'Bearer realm="todo"'}


class TokenInvalid(Unauthorized):
    """Args:
    reason: for the developer of the client, without anything that the token held.
    """

    code = "token_invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The token is refused: {reason}.")
        challenge = f'Bearer realm="todo", error="invalid_token", error_description="{reason}"'
        self.headers = {"WWW-Authenticate": challenge}
        self.reason = reason


class TokenExpired(TokenInvalid):
    code = "token_expired"


@dataclass(frozen=True, slots=True)
class _Checked:
    """That a signature is right has been seen, with this key."""

    kid: str | None
    key: jwt.PyJWK
    expires_at: float


class Verifier:
    """Turns a token into the caller that it speaks for.

    Args:
        keys: where a token's `kid` is looked up.
        issuer: what `iss` must be, to the letter.
        audience: what `aud` must be or contain.
        algorithms: the `alg` values that may be used (RFC 8725 §3.1).
        longest_life: the most that `exp` may lie after `iat`.
        leeway: how far the issuer's clock may be from ours.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str,
        algorithms: Collection[str],
        longest_life: timedelta = timedelta(hours=24),
        leeway: timedelta = timedelta(seconds=10),
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._algorithms = frozenset(algorithms)
        self._longest_life = longest_life.total_seconds()
        self._leeway = leeway.total_seconds()
        # By a hash of the token: signatures that need no second look. All else is judged each time.
        self._checked: TLRUCache[bytes, _Checked] = TLRUCache(
            _MOST_CHECKED, ttu=lambda _, checked, __: checked.expires_at + self._leeway, timer=time.time
        )

    async def verify(self, token: str) -> Caller:
        """Check a compact JWS, cheap checks first, and give its caller.

        Raises:
            TokenExpired: when it has expired.
            TokenInvalid: when anything else is wrong.
            KeysUnavailable: when its key may be a good one that cannot be fetched now.
        """
        if len(token) > _LONGEST_TOKEN:
            raise TokenInvalid(f"it is longer than {_LONGEST_TOKEN} characters")
        digest = hashlib.sha256(token.encode()).digest()
        checked = self._checked.get(digest)
        kid, alg = (checked.kid, checked.key.algorithm_name) if checked else self._header_of(token)
        key = await self._keys.find(kid)
        if key is None:
            self._checked.pop(digest, None)
            raise TokenInvalid("its kid is not a known key")
        if key.algorithm_name != alg:
            raise TokenInvalid("its alg is not that of its key")
        # Of these very bytes, and with this key, which is another object once the keys have changed.
        seen = checked is not None and checked.key is key
        claims = self._claims_of(token, key, verify_signature=not seen)
        caller = self._caller_of(claims)
        if not seen:
            self._checked[digest] = _Checked(kid, key, claims["exp"])
        return caller

    def _header_of(self, token: str) -> tuple[str | None, str]:
        """The kid and the alg, after all that can be told before the network is asked for a key."""
        if not _COMPACT_JWS.fullmatch(token):
            raise TokenInvalid("it is not a JWT, three parts with dots between")
        header_segment, claims_segment, _ = token.split(".")
        header = _object(header_segment, "header")
        alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(alg, str) or alg not in self._algorithms:
            raise TokenInvalid("its alg is not accepted")
        if (typ.lower() if isinstance(typ, str) else typ) not in _TYPES or "crit" in header:
            raise TokenInvalid("its header is not one of an access token")
        if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= _LONGEST_KID)):
            raise TokenInvalid("its kid is not one of a key")
        self._require_issuer(_object(claims_segment, "payload"))
        return kid, alg

    def _require_issuer(self, claims: dict[str, Any]) -> None:
        issuer = claims.get("iss")
        if issuer is None:
            raise TokenInvalid("it has no iss")
        if issuer != self._issuer:
            by_a_slash = isinstance(issuer, str) and issuer.rstrip("/") == self._issuer.rstrip("/")
            but = ", but for a slash at the end" if by_a_slash else ""
            raise TokenInvalid(f"its iss is not the issuer that this API trusts{but}")

    def _claims_of(self, token: str, key: jwt.PyJWK, *, verify_signature: bool) -> dict[str, Any]:
        """Time, issuer and audience are judged in any case."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={**_CLAIMS, "verify_signature": verify_signature},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired("it has expired") from None
        except jwt.ImmatureSignatureError:
            raise TokenInvalid("it is not yet valid") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenInvalid(f"it has no {error.claim}") from None
        except jwt.InvalidAudienceError:
            raise TokenInvalid("its aud is not this API") from None
        except jwt.InvalidSignatureError:
            raise TokenInvalid("its signature does not fit") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise TokenInvalid("it is malformed") from None
        return claims

    def _caller_of(self, claims: dict[str, Any]) -> Caller:
        moments = (claims["iat"], claims["exp"], claims.get("nbf", 0))
        # PyJWT takes strings of digits for times, and RFC 7519 §2 does not; nor can all numbers be reckoned with.
        if not all(type(moment) in (int, float) and abs(moment) < _END_OF_TIME for moment in moments):
            raise TokenInvalid("its times are no times")
        if not 0 < claims["exp"] - claims["iat"] <= self._longest_life:
            raise TokenInvalid("it lives longer than this API accepts")
        try:
            return Caller(claims["sub"])
        except ValueError:
            raise TokenInvalid("its sub is not a user id") from None


def _object(segment: str, name: str) -> dict[str, Any]:
    # Not by jwt.get_unverified_header, which reads all three segments, and jwt.decode reads them again.
    try:
        value = json.loads(base64url_decode(segment))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise TokenInvalid(f"its {name} is malformed")
    return value
