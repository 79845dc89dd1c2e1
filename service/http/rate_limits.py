"""Rate limits: a token bucket for each caller, and one for each address that sends no valid token.

The headers are those of https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/.
"""

import logging
import math
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv6Address, ip_network
from typing import Any

from redis.exceptions import RedisError
from starlette.types import ASGIApp, Receive, Scope, Send
from throttled.asyncio import RateLimiterType, RateLimitResult, Throttled, per_duration
from throttled.asyncio.store import BaseStore, MemoryStore, RedisStore
from throttled.exceptions import StoreUnavailableError

from service.http.problems import TooManyRequests, Unauthorized

log = logging.getLogger(__name__)

# Buckets of this process; the least recently used is forgotten, and so begins full again.
_MOST_BUCKETS = 20_000
_REDIS_SECONDS = 0.25
_REDIS_PAUSE_SECONDS = 1.0
_LOG_EVERY_SECONDS = 60.0


class RateLimit:
    """Token buckets: `requests` in `seconds` flow in, and at most `burst` are saved up.

    While the storage is away nobody is limited, and the log says so once a minute.

    Args:
        name: what the headers call it.
        storage: `memory`, for buckets of this process alone, or a redis:// or rediss:// URL, for shared ones.
    """

    def __init__(self, name: str, *, requests: int, seconds: int, burst: int, storage: str = "memory") -> None:
        # GCRA (ITU-T I.371): a token bucket that is stored as one number.
        self._store = _store(storage)
        self._buckets = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=per_duration(timedelta(seconds=seconds), requests, burst=burst),
            store=self._store,
        )
        self._seconds_of_all_but_one = (burst - 1) * seconds / requests
        self._name = name
        self._policy = f'"{name}";q={requests};w={seconds};burst={burst}'
        self._away_until = -math.inf
        self._logged_at = -math.inf

    async def take(self, key: str) -> RateLimitResult | None:
        """Take a token, if there is one, from the bucket of `key`.

        Returns:
            Whether there was one, and what is left. None while the storage is away.
        """
        now = time.monotonic()
        if now < self._away_until:
            return None
        try:
            return await self._buckets.limit(key)
        except (StoreUnavailableError, RedisError, OSError) as error:
            # Waiting for it once a second, rather than in every request.
            self._away_until = time.monotonic() + _REDIS_PAUSE_SECONDS
            if now - self._logged_at >= _LOG_EVERY_SECONDS:
                self._logged_at = now
                log.warning(
                    "nobody is limited: the storage of rate limits is away: %s", type(error.__cause__ or error).__name__
                )
            return None

    def headers(self, remaining: int, seconds: float) -> dict[str, str]:
        """What tells a client of this limit.

        Args:
            remaining: requests.
            seconds: until there are more; or, while some are left, until there are all.
        """
        return {
            "RateLimit-Policy": self._policy,
            "RateLimit": f'"{self._name}";r={max(0, remaining)};t={math.ceil(seconds)}',
        }

    async def close(self) -> None:
        """Let go of the connections to Redis, if there are any."""
        if isinstance(self._store, RedisStore):
            client: Any = self._store._backend.get_client()  # throttled itself never closes it
            await client.aclose(close_connection_pool=True)

    async def wait(self, key: str) -> float:
        """Seconds until there is a token in the bucket of `key`, in memory; zero or less when there is one."""
        # Not its retry_after, which is how long the bucket has been filling.
        return (await self._buckets.peek(key)).reset_after - self._seconds_of_all_but_one


def _store(storage: str) -> BaseStore:
    if storage == "memory":
        return MemoryStore(options={"MAX_SIZE": _MOST_BUCKETS})
    timeouts = {"socket_timeout": _REDIS_SECONDS, "socket_connect_timeout": _REDIS_SECONDS}
    return RedisStore(server=storage, options={"CONNECTION_POOL_KWARGS": timeouts})


class AddressLimit:
    """ASGI middleware, ahead of authentication: an address that keeps failing to authenticate is refused unheard.

    Only refusals are counted, so that callers with valid tokens never meet this, unless they share their address with a
    flood.

    Args:
        limit: kept in memory, which costs a flood less of our time than Redis would.
        public: the paths that need no token: probes, for one, are never refused.
    """

    def __init__(self, app: ASGIApp, *, limit: RateLimit, public: Collection[str]) -> None:
        self.app = app
        self._limit = limit
        self._public = frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._public:
            await self.app(scope, receive, send)
            return
        address = _address(scope)
        wait = await self._limit.wait(address)
        if wait > 0:
            scope["state"]["headers"].update(self._limit.headers(0, wait))
            raise TooManyRequests(wait)
        try:
            await self.app(scope, receive, send)
        except Unauthorized:
            taken = await self._limit.take(address)
            if taken is not None:
                scope["state"]["headers"].update(self._limit.headers(taken.state.remaining, taken.state.reset_after))
            raise


def _address(scope: Scope) -> str:
    """The client's. Of IPv6 the first 64 bits, which is what one customer of a provider has."""
    host: str = (scope["client"][0] if scope["client"] else "") or "unknown"
    if ":" in host:
        with suppress(ValueError):  # a proxy may say anything
            address = IPv6Address(host.partition("%")[0])
            # ::ffff:192.0.2.1 is an IPv4 client of a socket that takes both.
            return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return host


class CallerLimit:
    """ASGI middleware, behind authentication: a caller's requests, and what is left of them in every answer.

    Args:
        caller: gives who makes a request, or None on a public path.
    """

    def __init__(self, app: ASGIApp, *, limit: RateLimit, caller: Callable[[Scope], str | None]) -> None:
        self.app = app
        self._limit = limit
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._caller(scope) if scope["type"] == "http" else None
        taken = await self._limit.take(caller) if caller is not None else None
        if taken is not None:
            seconds = taken.state.retry_after if taken.limited else taken.state.reset_after
            scope["state"]["headers"].update(self._limit.headers(taken.state.remaining, seconds))
            if taken.limited:
                raise TooManyRequests(taken.state.retry_after)
        await self.app(scope, receive, send)
