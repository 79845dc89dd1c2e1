"""Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol): exact origins from the settings."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

_EXPOSED = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-Id",
    "WWW-Authenticate",
    "Idempotent-Replayed",
)


class _Preflights(CORSMiddleware):
    """Answers every preflight 204. The headers say what is allowed, and the browser stops at what is not."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return Response(status_code=204, headers=headers)


def cors(origins: Sequence[str]) -> Middleware:
    """The middleware for these origins. Tokens travel in a header, so no credentials mode is needed."""
    return Middleware(
        _Preflights,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id"),
        expose_headers=_EXPOSED,
    )
