"""What makes a token valid: RFC 7519, with the advice of RFC 8725 (best current practices) taken."""

import json
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import jwt
from jwt.utils import base64url_decode

from service.http.problems import Unauthorized
from service.identity.caller import Caller
from service.identity.keys import KeySet

_LONGEST_TOKEN = 8192
_LONGEST_KID = 255
# Three segments of base64url, none empty, without padding (RFC 7515 §3.1).
_COMPACT_JWS = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_TYPES = (None, "jwt", "at+jwt")


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


class TokenExpired(TokenInvalid):
    code = "token_expired"


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
        keys: KeySet,
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

    def verify(self, token: str) -> Caller:
        """Check a compact JWS, cheap checks first, and give its caller.

        Raises:
            TokenExpired: when all is well but the time.
            TokenInvalid: when anything else is not.
        """
        key = self._key_of(token)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            return self._caller_of(claims)
        except jwt.ExpiredSignatureError:
            raise TokenExpired("it has expired") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenInvalid(f"it has no {error.claim}") from None
        except jwt.InvalidIssuerError:
            raise TokenInvalid("its iss is not the issuer that this API trusts") from None
        except jwt.InvalidAudienceError:
            raise TokenInvalid("its aud is not this API") from None
        except jwt.InvalidSignatureError:
            raise TokenInvalid("its signature does not fit") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise TokenInvalid("it is malformed or not yet valid") from None

    def _key_of(self, token: str) -> jwt.PyJWK:
        if len(token) > _LONGEST_TOKEN:
            raise TokenInvalid(f"it is longer than {_LONGEST_TOKEN} characters")
        if not _COMPACT_JWS.fullmatch(token):
            raise TokenInvalid("it is not a JWT, three parts with dots between")
        try:
            # The header alone: jwt.get_unverified_header would read all three parts, and jwt.decode reads them again.
            header = json.loads(base64url_decode(token.partition(".")[0]))
        except (ValueError, RecursionError):
            raise TokenInvalid("its header is malformed") from None
        if not isinstance(header, dict):
            raise TokenInvalid("its header is malformed")
        alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(alg, str) or alg not in self._algorithms:
            raise TokenInvalid("its alg is not accepted")
        if (typ.lower() if isinstance(typ, str) else typ) not in _TYPES or "crit" in header:
            raise TokenInvalid("its header is not one of an access token")
        key = self._keys.find(kid) if isinstance(kid, str) and len(kid) <= _LONGEST_KID else None
        if key is None:
            raise TokenInvalid("its kid is not a known key")
        if key.algorithm_name != alg:
            raise TokenInvalid("its alg is not that of its key")
        return key

    def _caller_of(self, claims: dict[str, Any]) -> Caller:
        # PyJWT has seen to it that both are there and are whole numbers.
        if not 0 < int(claims["exp"]) - int(claims["iat"]) <= self._longest_life:
            raise TokenInvalid("it lives longer than this API accepts")
        try:
            return Caller(claims["sub"])
        except ValueError:
            raise TokenInvalid("its sub is not a user id") from None
