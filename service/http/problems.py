"""Every refusal, as application/problem+json (RFC 9457).

Problem
├── BadRequest            400
├── Unauthorized          401  (TokenMissing and its like: service/identity/verifier.py)
├── NotFound              404  (TaskNotFound: service/tasks/routes.py)
├── MethodNotAllowed      405
├── KeyInFlight           409  service/tasks/idempotency.py
├── PreconditionFailed    412  service/http/conditional.py
├── ContentTooLarge       413
├── UnsupportedMediaType  415
├── InvalidRequest        422  (KeyReused: service/tasks/idempotency.py)
├── TooManyRequests       429
├── HeadTooLarge          431
├── InternalError         500
├── DatabaseUnavailable   503  service/database/errors.py
├── KeysUnavailable       503  service/identity/keys.py
└── NotReady              503  service/health.py
"""

import logging
import math
import traceback
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_MOST_ERRORS = 20


# RFC 9110 §15.5 renamed these two; Python did so only in 3.13.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


def title_of(status: int) -> str:
    """The reason phrase of a status (RFC 9110 §15)."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


_LONGEST_CODE = 50
# What can be wrong with a value. One that is not here cannot be told.
FieldErrorCode = Literal[
    "conflict",
    "idempotency_key_reused",
    "invalid",
    "invalid_cursor",
    "invisible",
    "malformed_json",
    "not_a_key",
    "not_a_time",
    "not_a_uuid",
    "not_allowed",
    "not_an_etag",
    "not_unicode",
    "nul",
    "repeated",
    "required",
    "too_large",
    "too_long",
    "too_short",
    "too_small",
    "unknown",
    "wrong_type",
]
_Sentence = Annotated[str, Field(max_length=500, pattern=r"\S")]


class FieldError(BaseModel):
    """What is wrong with one value of a request."""

    model_config = ConfigDict(frozen=True)

    pointer: str = Field(
        description="RFC 6901 pointer into the body; /query/NAME, /path/NAME or /header/NAME for a parameter.",
        examples=["/title"],
        max_length=100,
        pattern="^(/.*)?$",
    )
    code: FieldErrorCode = Field(description="Stable, for programs.", examples=["too_long"])
    detail: _Sentence = Field(description="For people.", examples=["At most 255 characters."])


class ProblemDetails(BaseModel):
    """RFC 9457 §3.1, with a `code` for programs and the id of the request."""

    model_config = ConfigDict(title="Problem")

    type: Literal["about:blank"]
    title: _Sentence = Field(examples=["Not Found"])
    status: int = Field(examples=[404], ge=400, le=599, json_schema_extra={"format": "int32"})
    detail: _Sentence = Field(examples=["There is no such task."])
    code: str = Field(description="Stable, for programs.", examples=["task_not_found"], max_length=_LONGEST_CODE)
    request_id: str = Field(
        description="What to quote when asking for help; also in X-Request-Id.",
        examples=["5f0c6a9b1d3e4f7a8b2c9d0e1f2a3b4c"],
        max_length=64,
        pattern="^[A-Za-z0-9._-]+$",
    )


class InvalidRequestDetails(ProblemDetails):
    """A 422 says what is wrong with which value."""

    model_config = ConfigDict(title="InvalidRequest")

    errors: list[FieldError] = Field(max_length=_MOST_ERRORS)


class Problem(Exception):
    """A refusal that knows its status.

    Args:
        detail: a sentence for people. It repeats nothing of the request or of another's data.
    """

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: dict[str, str] = {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The members of RFC 9457 §3.1. Its `type` is about:blank: `code` tells problems apart."""
        return {
            "type": "about:blank",
            "title": title_of(self.status),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }


class BadRequest(Problem):
    status = 400
    code = "bad_request"

    def __init__(self) -> None:
        super().__init__("This is not HTTP as RFC 9112 has it.")


class Unauthorized(Problem):
    """Nobody is let in without a valid token: RFC 6750 §3."""

    status = 401


class NotFound(Problem):
    status = 404
    code = "not_found"

    def __init__(self, detail: str = "There is nothing at this path.") -> None:
        super().__init__(detail)


class MethodNotAllowed(Problem):
    status = 405
    code = "method_not_allowed"

    def __init__(self, allow: str) -> None:
        super().__init__(f"This path takes {allow}.")
        self.headers = {"Allow": allow}


class ContentTooLarge(Problem):
    status = 413
    code = "content_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A body has at most {limit} bytes.")


class UnsupportedMediaType(Problem):
    status = 415
    code = "unsupported_media_type"

    def __init__(self, accepted: Sequence[str], *, method: str) -> None:
        super().__init__(f"Send the body as {' or '.join(accepted)}, in UTF-8 and not compressed.")
        if method == "PATCH":
            self.headers = {"Accept-Patch": ", ".join(accepted)}  # RFC 5789 §3.1


class InvalidRequest(Problem):
    """Some value of the request is wrong.

    Args:
        errors: one for each wrong value; the first 20 are told.
    """

    status = 422
    code = "invalid_request"

    def __init__(
        self, detail: str = "The request is not valid; errors says where.", errors: Iterable[FieldError] = ()
    ) -> None:
        super().__init__(detail)
        self.errors = list(dict.fromkeys(errors))[:_MOST_ERRORS]  # many unknown members are one error

    @classmethod
    def at(cls, pointer: str, code: FieldErrorCode, detail: str) -> Self:
        """One value is wrong."""
        return cls(errors=[FieldError(pointer=pointer, code=code, detail=detail)])

    def body(self, request_id: str) -> dict[str, Any]:
        return super().body(request_id) | {"errors": [error.model_dump() for error in self.errors]}


class TooManyRequests(Problem):
    """RFC 6585 §4.

    Args:
        retry_after: seconds.
    """

    status = 429
    code = "rate_limited"

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many requests. Wait for as many seconds as Retry-After says.")
        self.headers = {"Retry-After": str(min(max(1, math.ceil(retry_after)), 3600))}


class HeadTooLarge(Problem):
    """RFC 6585 §5."""

    status = 431
    code = "head_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request line and the headers have at most {limit} bytes together.")


class InternalError(Problem):
    status = 500
    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("Something went wrong here. The request_id helps to find out what.")


def problem_response(scope: Scope, problem: Problem) -> Response:
    """The response that tells of a problem."""
    return JSONResponse(
        problem.body(scope["state"]["request_id"]),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


class Problems:
    """ASGI middleware: whatever is raised further in becomes problem+json."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noting_the_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noting_the_start)
        except Exception as error:
            if not isinstance(error, Problem):
                _log_without_values(error, scope)
            if started:
                raise
            problem = error if isinstance(error, Problem) else InternalError()
            await problem_response(scope, problem)(scope, receive, send)


def _log_without_values(error: BaseException, scope: Scope) -> None:
    """Where it happened and the kinds of errors, but not their texts, which quote rows and parameters."""
    chain: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        sqlstate = getattr(cause, "sqlstate", None)
        chain.append(type(cause).__qualname__ + (f" (SQLSTATE {sqlstate})" if sqlstate else ""))
        cause = cause.__cause__
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.error("request %s failed: %s\n%s", scope["state"]["request_id"], " from ".join(chain), stack)
