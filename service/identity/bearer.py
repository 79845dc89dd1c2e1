"""Deny by default: every path but the public ones needs a valid bearer token (RFC 6750 §2.1)."""

from collections.abc import Collection

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.requests import HTTPConnection
from starlette.types import Scope

from service.identity.caller import Caller
from service.identity.refusals import Refusals
from service.identity.verifier import TokenInvalid, TokenMissing, Verifier


class BearerTokens(AuthenticationBackend):
    """For Starlette's AuthenticationMiddleware: puts the Caller into `request.user`.

    Args:
        verifier: what makes a token valid.
        refusals: where it is told why a token is not.
        public: the paths that need none, to the letter.
    """

    def __init__(self, verifier: Verifier, refusals: Refusals, *, public: Collection[str]) -> None:
        self._verifier = verifier
        self._public = frozenset(public)
        self._refusals = refusals

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Give the caller, or None on a public path.

        Raises:
            TokenMissing, TokenExpired, TokenInvalid, KeysUnavailable: everywhere else.
        """
        # scope["path"], which is what is routed on; a URL rebuilt from the Host header could differ from it.
        if conn.scope["path"] in self._public:
            return None
        try:
            caller = await self._verifier.verify(_bearer_token(conn))
        except TokenInvalid as refused:
            self._refusals.note(refused)
            raise
        return AuthCredentials(), caller  # type: ignore[return-value]  # a Caller is all the user there is


def _bearer_token(conn: HTTPConnection) -> str:
    headers = conn.headers.getlist("authorization")
    if not headers:
        raise TokenMissing
    if len(headers) > 1:
        raise TokenInvalid("there is more than one Authorization header")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer":
        raise TokenMissing
    token = token.strip(" ")
    if not token:
        raise TokenMissing
    return token


def caller_of(conn: HTTPConnection) -> Caller:
    """The caller of a request that has passed BearerTokens.

    Raises:
        LookupError: on a public path, where there is none.
    """
    user = conn.scope.get("user")
    if not isinstance(user, Caller):
        raise LookupError("a public path has no caller")
    return user


def user_id_of(scope: Scope) -> str | None:
    """Whom a request that has passed BearerTokens is from; None on a public path."""
    user = scope.get("user")
    return user.user_id if isinstance(user, Caller) else None
