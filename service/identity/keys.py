"""The keys that tokens are signed with: cached, refreshed in the background, and kept through an outage.

Keys
├── FetchedKeys
├── KeysOfFile    service/identity/local_keys.py
└── SharedSecret
"""

import asyncio
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import jwt
from cachetools import TTLCache

from service.http.problems import Problem
from service.identity.jwks import KeySet, NoKeys
from service.identity.jwks_endpoint import FetchFailed, JwksEndpoint

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_MISSES = 5.0
# A kid that a fetch did not find is not fetched for again so soon, so that one stale client does not fetch on and on.
_UNKNOWN_SECONDS = 10.0
_MOST_UNKNOWN = 1000
_BACK_OFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# How long an endpoint may ask to be left alone for, unless the keys at hand last longer.
_LONGEST_REST_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3.0


class KeysUnavailable(Problem):
    """A token may be good, and what it is checked with cannot be had: no reason to sign anybody out.

    Args:
        retry_after: seconds.
    """

    status = 503
    code = "keys_unavailable"

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__("The keys that tokens are checked with cannot be fetched now.")
        self.headers = {"Retry-After": str(math.ceil(max(1.0, retry_after)))}


class Keys(ABC):
    """Finds the key that a token says it is signed with."""

    @abstractmethod
    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of that id, or None when there is none: the same object until the keys change.

        Raises:
            KeysUnavailable: when there may be one, and it cannot be fetched now.
        """

    def age(self) -> float | None:
        """Seconds since the keys were fetched; None for keys that are not.

        Raises:
            KeysUnavailable: when there are none.
        """
        return None

    def kept_fresh(self) -> AbstractAsyncContextManager[None]:
        """Fetch the keys, if they are fetched, in the background while this context lasts."""
        return nullcontext()


class FetchedKeys(Keys):
    """A key that is held is given at once, whatever the network does.

    Args:
        endpoint: where the key set is.
        algorithms: the `alg` values that keys may have.
        refresh_after: seconds until the key set is fetched again, in the background.
        max_age: seconds after which keys are no longer used when all fetches fail; so long, at worst, is a key
            in use here that was revoked there.
    """

    def __init__(
        self, endpoint: JwksEndpoint, algorithms: Collection[str], *, refresh_after: float, max_age: float
    ) -> None:
        self._endpoint = endpoint
        self._algorithms = algorithms
        self._refresh_after = refresh_after
        self._max_age = max_age
        self._document = b""
        self._set: KeySet | None = None
        self._fetched_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self._failures = 0
        self._next_fetch_at = -math.inf
        self._next_miss_at = -math.inf
        self._unknown: TTLCache[str, None] = TTLCache(_MOST_UNKNOWN, _UNKNOWN_SECONDS)

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        if not kid:
            return None
        key = self._held(kid)
        if key is not None:
            return key
        try:
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                key = await self._look_for(kid)
        except TimeoutError:
            raise KeysUnavailable from None
        if key is None and (self._failures or self._in_force() is None):
            raise KeysUnavailable(self._next_fetch_at - time.monotonic())
        return key

    def age(self) -> float | None:
        if self._in_force() is None:
            raise KeysUnavailable(self._next_fetch_at - time.monotonic())
        return time.monotonic() - self._fetched_at

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        refreshing = asyncio.create_task(self._refresh())
        try:
            yield
        finally:
            tasks = [task for task in (refreshing, self._fetching) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._endpoint.close()

    async def _refresh(self) -> None:
        while True:
            wait = self._next_fetch_at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(min(wait, 1.0))  # a fetch for an unknown key may change when the next is due
            else:
                await self._fetch_once()

    def _in_force(self) -> KeySet | None:
        return self._set if self._seconds_left() >= 0 else None

    def _held(self, kid: str) -> jwt.PyJWK | None:
        held = self._in_force()
        return held.find(kid) if held else None

    async def _look_for(self, kid: str) -> jwt.PyJWK | None:
        """The key of that id, by the fetch under way, or by one for its sake."""
        key = None
        # Again, when another begins a fetch after one in vain: only that may know of a key as new as this token's.
        while key is None and self._fetching is not None:
            await self._fetch_once()
            key = self._held(kid)
        if key is None and self._may_fetch_for(kid):
            key = await self._fetch_for(kid)
        return key

    def _may_fetch_for(self, kid: str) -> bool:
        now = time.monotonic()
        backing_off = self._failures and now < self._next_fetch_at
        return not backing_off and now >= self._next_miss_at and kid not in self._unknown

    async def _fetch_for(self, kid: str) -> jwt.PyJWK | None:
        now = time.monotonic()
        # Some fetches that find a key are welcome at once, as after a rotation, and then one a second.
        if_found = max(self._next_miss_at, now - _SECONDS_BETWEEN_MISSES) + 1.0
        # Before it begins, for whoever comes when it has ended and this has not yet heard of it.
        self._next_miss_at = now + _SECONDS_BETWEEN_MISSES
        await self._fetch_once()
        key = self._held(kid)
        if key is not None or self._failures:
            self._next_miss_at = if_found
        else:
            self._unknown[kid] = None
        return key

    async def _fetch_once(self) -> None:
        """Fetch, or wait for the fetch under way. A caller that goes away ends it for nobody else."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            document = await self._endpoint.get()
            if document != self._document:  # else the keys are the same objects, as before
                self._set = KeySet(document, self._algorithms)
                self._document = document
        except (FetchFailed, NoKeys) as error:
            self._note_failure(error)
        else:
            self._note_success()
        finally:
            self._fetching = None

    def _note_success(self) -> None:
        now = time.monotonic()
        if self._failures:
            log.warning("the keys of AUTH_JWKS_URL are fetched again")
        self._failures = 0
        self._fetched_at = now
        self._next_fetch_at = now + self._refresh_after

    def _note_failure(self, error: FetchFailed | NoKeys) -> None:
        now = time.monotonic()
        wait = _BACK_OFF_SECONDS[min(self._failures, len(_BACK_OFF_SECONDS) - 1)]
        if isinstance(error, FetchFailed):
            wait = max(wait, min(error.retry_after, max(_LONGEST_REST_SECONDS, self._seconds_left())))
        self._failures += 1
        self._next_fetch_at = now + wait
        log.warning(
            "the keys of AUTH_JWKS_URL cannot be fetched: %s. Next try in %.0f s; %s", error, wait, self._held_on()
        )

    def _seconds_left(self) -> float:
        """For which the keys at hand may be used; negative when there are none."""
        return self._fetched_at + self._max_age - time.monotonic()

    def _held_on(self) -> str:
        left = self._seconds_left()
        if left < 0:
            return "there are no keys, and every token is answered with 503"
        return f"the keys at hand stay in use, for {left:.0f} s at most"
