"""Query parameters and headers that a route declares: each known, each once, in UTF-8."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from inspect import isclass
from typing import Any, get_origin
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.http.problems import InvalidRequest

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route that refuses what FastAPI lets pass: unknown parameters, repeated ones, and what is not UTF-8.

    A parameter may be repeated when it is declared as a list.
    """

    def get_route_handler(self) -> _Handler:
        """FastAPI's handler, with the checks before it."""
        handle = super().get_route_handler()
        repeatable = dict(_query_parameters(self.dependant))
        headers = list(_headers(self.dependant))

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request.scope["query_string"], repeatable)
            if headers:
                _check_headers(request.headers, headers)
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


def _headers(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.header_params)
    for dependency in dependant.dependencies:
        yield from _headers(dependency)


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


def _check_headers(headers: Headers, names: Iterable[str]) -> None:
    for name in names:
        if len(headers.getlist(name)) > 1:
            raise InvalidRequest.at(f"/header/{name}", "repeated", "This may be sent once.")
