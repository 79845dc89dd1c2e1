"""Why tokens are refused, told in the log to whoever connects a Better Auth. docs/better-auth.md tells more."""

import logging
import time

from service.identity.verifier import TokenExpired, TokenInvalid

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0

# How a reason begins: what mends it.
_MENDS = {
    "it is not a JWT": "a session token of Better Auth's is none, /api/auth/token gives one",
    "it is longer": "definePayload can leave out what makes it long, a picture for example",
    "its alg is not accepted": "AUTH_ALGORITHMS has to list what Better Auth signs with, EdDSA unless it is told "
    "otherwise; AUTH_SHARED_SECRET is for HS256 alone",
    "its iss is not the issuer": "AUTH_ISSUER has to be the origin of Better Auth's baseURL, to the letter",
    "its aud is not": "AUTH_AUDIENCE has to be what Better Auth sends, the origin of its baseURL unless it is told "
    "otherwise",
    "its kid is not a known key": "AUTH_JWKS_URL has to be the key set of the issuer; or the key was dropped there",
    "it lives longer": "AUTH_MAX_LIFETIME_SECONDS, or expirationTime in Better Auth",
    "it is not yet valid": "the clocks of the two servers differ",
}


class Refusals:
    """Says each reason once a minute at most, and nothing that a token held. That one has expired is no news."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def note(self, refused: TokenInvalid) -> None:
        """Tell of this refusal, unless its reason was told just now."""
        now = time.monotonic()
        if (
            isinstance(refused, TokenExpired)
            or now - self._said_at.get(refused.reason, -_EVERY_SECONDS) < _EVERY_SECONDS
        ):
            return
        self._said_at[refused.reason] = now
        mend = next((mend for begins, mend in _MENDS.items() if refused.reason.startswith(begins)), None)
        log.warning("a token is refused: %s%s", refused.reason, f". Mend: {mend}" if mend else "")
