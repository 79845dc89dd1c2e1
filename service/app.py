"""The composition root: settings in, application out."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import BaseRoute

from service import health
from service.database.engine import create_engine
from service.database.errors import DatabaseBusy, DatabaseUnavailable, OutcomeUnknown
from service.database.guard import Readiness, require_no_faults
from service.http import docs
from service.http.body import RequestBody
from service.http.cors import cors
from service.http.fair_share import FairShare
from service.http.headers import ResponseHeaders
from service.http.methods import Methods
from service.http.openapi import describe
from service.http.problems import Problems, TooManyRequests
from service.http.rate_limits import AddressLimit, CallerLimit, RateLimit
from service.http.validation import from_fastapi
from service.identity.bearer import BearerTokens, user_id_of
from service.identity.jwks_endpoint import JwksEndpoint
from service.identity.keys import FetchedKeys, Keys, KeysUnavailable
from service.identity.local_keys import KeysOfFile, SharedSecret
from service.identity.refusals import Refusals
from service.identity.verifier import TokenExpired, TokenInvalid, TokenMissing, Verifier
from service.settings import Settings
from service.tasks.routes import router as tasks

# Every other path needs a token, also one that is added tomorrow.
PUBLIC_PATHS = (
    "/livez",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/favicon.png",
)


# How every path can refuse that is not public.
REFUSED_EVERYWHERE = (
    TokenMissing(),
    TokenExpired("it has expired"),
    TokenInvalid("its signature does not fit"),
    TooManyRequests(1),
    KeysUnavailable(),
    DatabaseUnavailable(),
    DatabaseBusy(),
    OutcomeUnknown(),
)

DESCRIPTION = """\
Each caller has tasks of their own, and cannot tell that others have any: somebody else's task is as missing as one that
never was.

- **Signing in:** send a token of Better Auth with each request, `Authorization: Bearer <JWT>`.
- **Errors** are `application/problem+json` (RFC 9457). `code` is for programs, `detail` for people, `request_id` for
  asking for help.
- **Bodies** are JSON in UTF-8, 64 KiB at most. Unknown members and parameters are refused.
- **Lost updates:** send a task's `ETag` back as `If-Match`, and a change that somebody else made meanwhile is not
  overwritten.
- **Safe retries:** send an `Idempotency-Key` with a POST, and sending it again creates no second task.
- Every path also answers OPTIONS with the methods that it takes, and HEAD wherever it takes GET.
"""


def create_app(settings: Settings) -> FastAPI:
    """Build the ASGI application. It connects when it starts, and only serves when the guard lets it.

    Raises:
        SettingsError: when the key file, the database URL or a proxy for the keys cannot be used.
    """
    engine = create_engine(settings.database_url, pool_size=settings.database_pool_size)
    keys = _keys(settings)
    tokens = _bearer_tokens(settings, keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await require_no_faults(engine)
        # What start-up made stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        async with keys.kept_fresh():
            yield
        await engine.dispose()
        await limits.close()

    def routes() -> list[BaseRoute]:
        return app.routes

    limits = _RateLimits(settings)
    # Outermost first; docs/decisions/0005-order-of-refusals.md says why in this order.
    app = _api(
        lifespan=lifespan,
        middleware=[
            Middleware(ResponseHeaders),
            cors(settings.cors_origins),
            Middleware(Problems),
            Middleware(Methods, routes=routes),
            *limits.before_authentication,
            Middleware(AuthenticationMiddleware, backend=tokens),
            *limits.after_authentication,
            Middleware(RequestBody),
            # Half of the connections, so that others are left. Behind the body, which may be long in coming.
            Middleware(FairShare, most=max(1, settings.database_pool_size // 2), caller=user_id_of),
        ],
    )
    app.state.engine = engine
    app.state.readiness = Readiness(engine)
    app.state.keys = keys
    app.state.cursor_key = settings.cursor_key
    return app


def _keys(settings: Settings) -> Keys:
    if settings.auth_shared_secret:
        return SharedSecret(settings.auth_shared_secret)
    if settings.auth_jwks_file:
        return KeysOfFile(settings.auth_jwks_file, settings.auth_algorithms)
    return FetchedKeys(
        JwksEndpoint(settings.keys_url),
        settings.auth_algorithms,
        refresh_after=settings.auth_jwks_refresh_seconds,
        max_age=settings.auth_jwks_max_age_seconds,
    )


def _bearer_tokens(settings: Settings, keys: Keys) -> BearerTokens:
    issuer, audience = settings.auth_issuer, settings.auth_audience
    algorithms = (SharedSecret.ALGORITHM,) if settings.auth_shared_secret else settings.auth_algorithms
    longest_life = timedelta(seconds=settings.auth_max_lifetime_seconds)
    verifier = Verifier(keys, issuer=issuer, audience=audience, algorithms=algorithms, longest_life=longest_life)
    refusals = Refusals(issuer=issuer, audience=audience, algorithms=", ".join(algorithms))
    return BearerTokens(verifier, refusals, public=PUBLIC_PATHS)


def openapi_document() -> dict[str, Any]:
    """What GET /openapi.json answers. It is the same whatever the settings are."""
    return _api().openapi()


def _api(**options: Any) -> FastAPI:
    api = FastAPI(
        title="Todo API",
        summary="Tasks of many users, kept apart by Postgres.",
        description=DESCRIPTION,
        version=version("todo-api"),
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"name": "Whoever runs this Todo API"},
        servers=[
            {
                "url": "/",
                "description": "Where this document is from: production, staging or local.",
                "x-internal": False,
            }
        ],
        openapi_tags=[
            {"name": "tasks", "description": "The caller's tasks."},
            {"name": "health", "description": "For whoever keeps the service running."},
        ],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={RequestValidationError: from_fastapi, HTTPException: from_fastapi},
        **options,
    )
    api.include_router(tasks)
    api.include_router(health.router)
    api.include_router(docs.router)
    describe(api, public=PUBLIC_PATHS, everywhere=REFUSED_EVERYWHERE)
    return api


class _RateLimits:
    """What limits requests ahead of authentication, and behind it. Nothing, when the settings say so."""

    def __init__(self, settings: Settings) -> None:
        limit = partial(
            RateLimit,
            requests=settings.rate_limit_requests,
            seconds=settings.rate_limit_seconds,
            burst=settings.rate_limit_burst,
        )
        self._of_callers = limit("caller", storage=settings.rate_limit_storage.get_secret_value())
        on = settings.rate_limit
        self.before_authentication = (
            [Middleware(AddressLimit, limit=limit("address"), public=PUBLIC_PATHS)] if on else []
        )
        self.after_authentication = [Middleware(CallerLimit, limit=self._of_callers, caller=user_id_of)] if on else []

    async def close(self) -> None:
        await self._of_callers.close()
