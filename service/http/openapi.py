"""The OpenAPI document: what FastAPI derives from the routes, and what is the same for all of them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http.body import LARGEST_BODY, MEDIA_TYPES
from service.http.problems import (
    ContentTooLarge,
    InternalError,
    InvalidRequest,
    InvalidRequestDetails,
    Problem,
    ProblemDetails,
    UnsupportedMediaType,
    title_of,
)

_Responses = dict[int | str, dict[str, Any]]
_ASCII = {"type": "string", "maxLength": 8192, "pattern": "^[ -~]+$"}

_HEADERS: dict[str, dict[str, Any]] = {
    "Accept-Patch": {
        "description": "RFC 5789 §3.1: the media types that PATCH takes.",
        "schema": _ASCII,
        "example": "application/json, application/merge-patch+json",
    },
    "Access-Control-Allow-Origin": {
        "description": "The origin of the page that asks, when it is one of CORS_ORIGINS.",
        "required": False,
        "schema": _ASCII,
        "example": "https://app.example.com",
    },
    "ETag": {
        "description": "RFC 9110 §8.8.3: which version this is. If-Match and If-None-Match take it as it is.",
        "schema": _ASCII,
        "example": '"5f3a-64a7c0ffee123"',
    },
    "Idempotent-Replayed": {
        "description": "`true` when the Idempotency-Key had created the task before.",
        "required": False,
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Link": {
        "description": 'RFC 8288: the next page, as `<URL>; rel="next"`. Not there on the last one.',
        "required": False,
        "schema": _ASCII,
        "example": '</tasks?limit=100&cursor=WzE3OTUwMDAwMDBd.c2lnbmF0dXJl>; rel="next"',
    },
    "Location": {
        "description": "The path of the new task.",
        "schema": {"type": "string", "format": "uri-reference", "maxLength": 100},
        "example": "/tasks/01890a5d-ac96-774b-bcce-b302099a8057",
    },
    "RateLimit": {
        "description": "draft-ietf-httpapi-ratelimit-headers: `r` requests are left, and all of them in `t` seconds. "
        "Not there when nobody is limited.",
        "required": False,
        "schema": _ASCII,
        "example": '"caller";r=199;t=1',
    },
    "RateLimit-Policy": {
        "description": "draft-ietf-httpapi-ratelimit-headers: `q` requests in `w` seconds, `burst` of them at once.",
        "required": False,
        "schema": _ASCII,
        "example": '"caller";q=100;w=10;burst=200',
    },
    "Retry-After": {
        "description": "Seconds to wait before another try.",
        "schema": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 3600},
        "example": 2,
    },
    "WWW-Authenticate": {
        "description": "RFC 6750 §3: what is wrong with the token.",
        "schema": _ASCII,
        "example": 'Bearer realm="todo"',
    },
    "X-Request-Id": {
        "description": "What this request goes by in the service's log. One that you send, 1 to 64 of "
        "`[A-Za-z0-9._-]`, is taken over.",
        "schema": _ASCII,
        "example": "5f0c6a9b1d3e4f7a8b2c9d0e1f2a3b4c",
    },
}
_EXAMPLE_ID = "5f0c6a9b1d3e4f7a8b2c9d0e1f2a3b4c"


def answers(status: int, *headers: str, description: str | None = None) -> _Responses:
    """A success in the `responses` of a route, with its headers of `_HEADERS`."""
    return {status: {"description": description or title_of(status), "headers": _refer(headers)}}


def refusals(*problems: Problem) -> _Responses:
    """The `responses` of a route that can refuse in these ways: an example of each, and their codes as the only ones.

    What any route can refuse with (401, 429, 500 and, with a body, 413 and 415) is added to all of them.
    """
    return {
        status: _refusal([problem for problem in problems if problem.status == status])
        for status in dict.fromkeys(problem.status for problem in problems)
    }


def _refusal(problems: Sequence[Problem]) -> dict[str, Any]:
    """The response for problems of one status."""
    status = problems[0].status
    name = "InvalidRequest" if isinstance(problems[0], InvalidRequest) else "Problem"
    codes = list(dict.fromkeys(problem.code for problem in problems))
    narrower = {"properties": {"status": {"const": status}, "code": {"enum": codes}}, "required": ["status", "code"]}
    return {
        "description": title_of(status),
        "headers": _refer(header for problem in problems for header in problem.headers),
        "content": {
            "application/problem+json": {
                "schema": {"allOf": [{"$ref": f"#/components/schemas/{name}"}, {"type": "object"} | narrower]},
                "examples": {
                    problem.code: {"summary": problem.detail, "value": problem.body(_EXAMPLE_ID)}
                    for problem in problems
                },
            }
        },
    }


def _refer(headers: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def describe(app: FastAPI, *, public: Collection[str], everywhere: Collection[Problem]) -> None:
    """Have `app` describe itself.

    Args:
        public: the paths that need no token.
        everywhere: how every other path can refuse.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, public, everywhere)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI's documentation gives


def _document(app: FastAPI, public: Collection[str], everywhere: Collection[Problem]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        contact=app.contact,
        license_info=app.license_info,
        tags=app.openapi_tags,
        servers=app.servers,
        routes=app.routes,
    )
    components = document["components"]
    components["schemas"] = _schemas(components["schemas"])
    components["headers"] = {name: {"required": True} | header for name, header in _HEADERS.items()}
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of Better Auth, judged as RFC8725 advises. In development, `todo-api token alice` "
            "prints one.",
        }
    }
    document["security"] = [{"bearer": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in public:
                operation["security"] = []
            _complete(operation, method.upper(), () if path in public else everywhere)
    return document


def _schemas(of_routes: dict[str, Any]) -> dict[str, Any]:
    schemas = {name: schema for name, schema in of_routes.items() if name not in _FASTAPIS_OWN}
    for model in (ProblemDetails, InvalidRequestDetails):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[schema["title"]] = schema
    for name in ("Problem", "InvalidRequest"):
        schemas[name]["properties"]["code"]["enum"] = _codes(Problem)
    return dict(sorted(schemas.items()))


_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


def _codes(kind: type[Problem]) -> list[str]:
    """The codes of every kind of problem that there is."""
    codes = {getattr(kind, "code", "")}
    for narrower in kind.__subclasses__():
        codes.update(_codes(narrower))
    return sorted(codes - {""})


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out, but it is never null."""
    if "anyOf" not in schema:
        return schema
    kind: dict[str, Any]
    (kind,) = (option for option in schema["anyOf"] if option != {"type": "null"})
    return kind | {name: value for name, value in schema.items() if name != "anyOf"}


def _complete(operation: dict[str, Any], method: str, everywhere: Collection[Problem]) -> None:
    """Add what is not the route's own to tell."""
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _not_null(parameter["schema"])
    common: list[Problem] = [*everywhere, InternalError()]
    if "requestBody" in operation:
        accepted = MEDIA_TYPES[method]
        common += [ContentTooLarge(LARGEST_BODY), UnsupportedMediaType(accepted, method=method)]
        content = operation["requestBody"]["content"]
        content.update(dict.fromkeys(accepted, content["application/json"]))
    responses = {str(status): response for status, response in refusals(*common).items()} | operation["responses"]
    operation["responses"] = dict(sorted(responses.items()))
    limited = ["RateLimit", "RateLimit-Policy"] if everywhere else []
    for response in operation["responses"].values():
        more = _refer(["X-Request-Id", "Access-Control-Allow-Origin", *limited])
        response["headers"] = response.get("headers", {}) | more
