"""Why tokens are refused, told in the log to whoever connects a Better Auth. docs/better-auth.md tells more."""

import logging

from cachetools import TTLCache

from service.identity.verifier import TokenExpired, TokenInvalid

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0

# How a reason begins: what mends it.
_MENDS = {
    "it is not a JWT": "a Better Auth session token is not a JWT; /api/auth/token gives one",
    "it is longer": "definePayload can leave out what makes it long, a picture for example",
    "its alg is not accepted": "{algorithms} is accepted here, by AUTH_ALGORITHMS or AUTH_SHARED_SECRET; Better Auth "
    "signs with EdDSA unless it is told otherwise, and never with HS256 by itself",
    "its iss is not the issuer": "AUTH_ISSUER is '{issuer}'; it has to be the origin of Better Auth's baseURL, to the "
    "letter",
    "its aud is not": "AUTH_AUDIENCE is '{audience}'; it has to be what Better Auth sends, the origin of its baseURL "
    "unless it is told otherwise",
    "its kid is not a known key": "the keys here have to be those of the issuer; or this one was withdrawn there",
    "it lives longer": "AUTH_MAX_LIFETIME_SECONDS here, or expirationTime in Better Auth",
    "it is not yet valid": "the clocks of the two servers differ",
}


class Refusals:
    """Says each reason once a minute at most, and nothing that a token held. That one has expired is no news.

    Args:
        settings: issuer, audience and algorithms, as they are set here: a mend may quote them.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        self._said: TTLCache[str, None] = TTLCache(100, _EVERY_SECONDS)

    def note(self, refused: TokenInvalid) -> None:
        """Tell of this refusal, unless its reason was told just now."""
        if isinstance(refused, TokenExpired) or refused.reason in self._said:
            return
        self._said[refused.reason] = None
        mend = next((mend for begins, mend in _MENDS.items() if refused.reason.startswith(begins)), "")
        log.warning(
            "a token is refused: %s%s", refused.reason, f". Mend: {mend.format(**self._settings)}" if mend else ""
        )
