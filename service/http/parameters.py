"""Query parameters and headers: each known, each once, in UTF-8."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from inspect import isclass
from typing import Any, Generic, TypeVar, get_origin
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from service.http.problems import FieldErrorCode, InvalidRequest

T = TypeVar("T")
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route that refuses what FastAPI lets pass: unknown parameters, repeated ones, and what is not UTF-8.

    A parameter may be repeated when it is declared as a list.
    """

    def get_route_handler(self) -> _Handler:
        """FastAPI's handler, with the checks before it."""
        handle = super().get_route_handler()
        repeatable = dict(_query_parameters(self.dependant))

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request.scope["query_string"], repeatable)
            return await handle(request)

        return strict


def _query_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names that are declared, and whether each may be repeated."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isclass(annotation) and issubclass(annotation, BaseModel):
            for name, member in annotation.model_fields.items():
                yield member.alias or name, get_origin(member.annotation) is list
        else:
            yield field.alias, get_origin(annotation) is list
    for dependency in dependant.dependencies:
        yield from _query_parameters(dependency)


def _check_query(query: bytes, repeatable: Mapping[str, bool]) -> None:
    try:
        names = [name for name, _ in parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")]
    except UnicodeError:
        raise InvalidRequest.at("/query", "not_unicode", "This is not percent-encoded UTF-8.") from None
    seen = set()
    for name in names:
        if name not in repeatable:
            raise InvalidRequest.at("/query", "unknown", _unknown(repeatable))
        if name in seen and not repeatable[name]:
            raise InvalidRequest.at(f"/query/{name}", "repeated", "This may be given once.")
        seen.add(name)


def _unknown(known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    return f"There is a parameter here that this operation does not know. It knows {names or 'none'}."


class HeaderParameter(Generic[T]):
    """A header that an operation may be sent, once.

    FastAPI's own header parameters cost a request about as much as all of this product's middleware.

    Args:
        name: as documents spell it.
        description: for OpenAPI.
        schema: of its text, for OpenAPI.
        parse: makes of the text what the operation needs. Raises RefusedHeader when it cannot.
    """

    def __init__(self, name: str, *, description: str, schema: dict[str, Any], parse: Callable[[str], T]) -> None:
        self.name = name
        self._documented = {"name": name, "in": "header", "description": description, "schema": schema}
        self._parse = parse

    def of(self, request: Request) -> T | None:
        """What a request says, or None when it says nothing.

        Raises:
            InvalidRequest: when it stands there twice, or cannot be understood.
        """
        values = request.headers.getlist(self.name)
        if not values:
            return None
        if len(values) > 1:
            raise InvalidRequest.at(f"/header/{self.name}", "repeated", "This may be sent once.")
        try:
            # White space around a value is no part of it (RFC 9110 §5.5).
            return self._parse(values[0].strip(" \t"))
        except RefusedHeader as refused:
            raise InvalidRequest.at(f"/header/{self.name}", refused.code, refused.detail) from None

    def documented(self) -> dict[str, Any]:
        """For `openapi_extra` of a route."""
        return {"parameters": [self._documented]}


class RefusedHeader(ValueError):
    """A header says what cannot be understood.

    Args:
        code, detail: as in FieldError.
    """

    def __init__(self, code: FieldErrorCode, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
