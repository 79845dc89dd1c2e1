"""The composition root: settings in, application out."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from service import health
from service.database.engine import create_engine
from service.database.guard import Readiness, require_no_faults
from service.http import docs
from service.http.body import RequestBody
from service.http.cors import cors
from service.http.headers import ResponseHeaders
from service.http.methods import Methods
from service.http.openapi import describe
from service.http.problems import Problems
from service.http.validation import from_fastapi
from service.identity.bearer import BearerTokens
from service.identity.keys import KeySet
from service.identity.verifier import Verifier
from service.settings import Settings
from service.tasks.routes import router as tasks

# Every other path needs a token, also one that is added tomorrow.
PUBLIC_PATHS = (
    "/livez",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/favicon.png",
)


def create_app(settings: Settings) -> FastAPI:
    """Build the ASGI application. It connects when it starts, and only serves when the guard lets it.

    Raises:
        SettingsError: when the key file or the database URL cannot be used.
    """
    engine = create_engine(settings.database_url, pool_size=settings.database_pool_size)
    verifier = Verifier(
        KeySet.from_file(settings.auth_jwks_file),
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        algorithms=settings.auth_algorithms,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await require_no_faults(engine)
        # What start-up made stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        yield
        await engine.dispose()

    app: FastAPI = FastAPI(
        title="Todo API",
        summary="Tasks of many users, kept apart by Postgres.",
        version=version("todo-api"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={RequestValidationError: from_fastapi, HTTPException: from_fastapi},
        # Outermost first; docs/decisions/0005-order-of-refusals.md says why in this order.
        middleware=[
            Middleware(ResponseHeaders),
            cors(settings.cors_origins),
            Middleware(Problems),
            Middleware(Methods, routes=lambda: app.routes),
            Middleware(AuthenticationMiddleware, backend=BearerTokens(verifier, public=PUBLIC_PATHS)),
            Middleware(RequestBody),
        ],
    )
    app.state.engine = engine
    app.state.readiness = Readiness(engine)
    app.include_router(tasks)
    app.include_router(health.router)
    app.include_router(docs.router)
    describe(app, public=PUBLIC_PATHS)
    return app
