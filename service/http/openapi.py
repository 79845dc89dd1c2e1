"""The OpenAPI document: what FastAPI derives from the routes, and what is the same for all of them."""

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http.problems import InvalidRequestDetails, Problem, ProblemDetails, title_of

_REQUEST_ID = {
    "X-Request-Id": {
        "description": "What this request goes by in the service's log.",
        "required": True,
        "schema": {"type": "string"},
    }
}
_ACCEPT_PATCH = {
    "Accept-Patch": {
        "description": "RFC 5789 §3.1: the media types that PATCH takes.",
        "required": True,
        "schema": {"type": "string"},
    }
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {
            "description": "RFC 6750 §3: what is wrong with the token.",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    503: {
        "Retry-After": {
            "description": "Seconds to wait before another try.",
            "required": True,
            "schema": {"type": "integer"},
        }
    },
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can refuse with these statuses, and with 500 as every route can."""
    return {
        status: {
            "description": title_of(status),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{'InvalidRequest' if status == 422 else 'Problem'}"}
                }
            },
            "headers": _HEADERS.get(status, {}),
        }
        for status in (*statuses, 500)
    }


def describe(app: FastAPI, *, public: Collection[str]) -> None:
    """Have `app` describe itself as one that needs a bearer token everywhere but on the public paths."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, public)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI's documentation gives


def _document(app: FastAPI, public: Collection[str]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (ProblemDetails, InvalidRequestDetails):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[schema["title"]] = schema
    for name in ("Problem", "InvalidRequest"):
        schemas[name]["properties"]["code"]["description"] = (
            f"Stable, for programs. One of: {', '.join(_codes(Problem))}."
        )
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of Better Auth."}
    }
    document["security"] = [{"bearer": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "patch":
                _also_as_merge_patch(operation)
            if path in public:
                operation["security"] = []
            for response in operation["responses"].values():
                response["headers"] = response.get("headers", {}) | _REQUEST_ID
    return document


def _codes(kind: type[Problem]) -> list[str]:
    """The codes of every kind of problem that there is."""
    codes = {getattr(kind, "code", "")}
    for narrower in kind.__subclasses__():
        codes.update(_codes(narrower))
    return sorted(codes - {""})


def _also_as_merge_patch(operation: dict[str, Any]) -> None:
    content = operation["requestBody"]["content"]
    content["application/merge-patch+json"] = content["application/json"]
    operation["responses"]["415"]["headers"] = _ACCEPT_PATCH
