"""Unknown paths, methods, OPTIONS and HEAD (RFC 9110 §9), ahead of any token."""

from collections.abc import Callable, Iterable
from functools import cached_property
from re import Pattern

from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.problems import MethodNotAllowed, NotFound


class Methods:
    """ASGI middleware: what the router would refuse is refused here, with every method of the path in Allow.

    Args:
        routes: gives the application's routes; asked once, at start-up.
    """

    def __init__(self, app: ASGIApp, *, routes: Callable[[], Iterable[BaseRoute]]) -> None:
        self.app = app
        self._routes = routes

    @cached_property
    def _paths(self) -> list[tuple[Pattern[str], list[str]]]:
        """Each path once, with its methods."""
        methods: dict[Pattern[str], set[str]] = {}
        for route in iter_route_contexts(list(self._routes())):
            if route.path_regex is None or not route.methods:
                raise TypeError(f"{route.path} is no plain route: say here which methods it takes")
            methods.setdefault(route.path_regex, set()).update(route.methods)
        for offered in methods.values():
            offered.update({"OPTIONS"} | ({"HEAD"} if "GET" in offered else set()))
        return [(path, sorted(offered)) for path, offered in methods.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            _ = self._paths  # at start-up, so that a route that this cannot serve is found there
            await self.app(scope, receive, send)
            return
        if b"%2f" in scope.get("raw_path", b"").lower():
            raise NotFound  # RFC 3986 §2.2: an encoded slash is no slash, and ASGI has decoded it
        offered = self._offered(scope["path"])
        method = scope["method"]
        if method not in offered:
            raise MethodNotAllowed(", ".join(offered))
        if method == "OPTIONS":
            await Response(status_code=204, headers={"Allow": ", ".join(offered)})(scope, receive, send)
        elif method == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, send)
        else:
            await self.app(scope, receive, send)

    def _offered(self, path: str) -> list[str]:
        for pattern, offered in self._paths:
            if pattern.fullmatch(path):
                return offered
        raise NotFound
