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
from service.identity.misses import Misses

log = logging.getLogger(__name__)

_BACK_OFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# How long an endpoint may ask to be left alone for, unless it is left alone for longer anyway.
_LONGEST_REST_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3.0
_SAY_AGAIN_SECONDS = 600.0


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
        self._set: KeySet | None = None
        self._document: bytes | None = None
        self._refused: bytes | None = None
        self._fault = ""
        self._fetched_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self._next_fetch_at = -math.inf
        self._rest_until = -math.inf
        self._misses = Misses()
        self._failures = 0
        self._said: TTLCache[tuple[str, bool], None] = TTLCache(100, _SAY_AGAIN_SECONDS)

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
            raise self._unavailable(kid) from None
        if key is None and (self._failures or self._in_force() is None):
            raise self._unavailable(kid)
        return key

    def age(self) -> float | None:
        now = time.monotonic()
        if self._in_force() is None:
            raise KeysUnavailable(self._next_fetch_at - now)
        return now - self._fetched_at

    def _unavailable(self, kid: str) -> KeysUnavailable:
        now = time.monotonic()
        for_its_sake = max(self._rest_until - now, self._misses.wait(kid))
        return KeysUnavailable(min(self._next_fetch_at - now, for_its_sake))

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
        """The key of that id, by the fetch that is under way or due, or by one for its sake."""
        key = None
        # Again, when another begins a fetch after one in vain: only that may know of a key as new as this token's.
        while key is None and (self._fetching is not None or time.monotonic() >= self._next_fetch_at):
            await self._fetch_once()
            key = self._held(kid)
        if key is None and not self._resting() and self._misses.wait(kid) <= 0:
            key = await self._fetch_for(kid)
        return key

    async def _fetch_for(self, kid: str) -> jwt.PyJWK | None:
        self._misses.begin()
        await self._fetch_once()
        key = self._held(kid)
        if key is not None:
            self._misses.forgive()
        elif not self._resting():
            self._misses.remember(kid)
        return key

    def _resting(self) -> bool:
        return time.monotonic() < self._rest_until

    async def _fetch_once(self) -> None:
        """Fetch, or wait for the fetch under way. A caller that goes away ends it for nobody else."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            self._take(await self._endpoint.get())
        except FetchFailed as error:
            self._note_failure(str(error))
            rest_until = time.monotonic() + min(error.retry_after, max(_LONGEST_REST_SECONDS, self._refresh_after))
            self._rest_until = self._next_fetch_at = max(self._next_fetch_at, rest_until)
        except NoKeys as error:
            # No reason to rest: after an idle time longer than all keys' grace period, a token brings a key again.
            self._note_failure(str(error))
        else:
            self._note_success()
        finally:
            self._fetching = None

    def _take(self, document: bytes) -> None:
        """A document that has not changed is not read again: its keys stay the same objects, its faults are known."""
        if document == self._refused:
            raise NoKeys(self._fault)
        if document != self._document:
            try:
                self._set = KeySet(document, self._algorithms)
            except NoKeys as error:
                self._refused, self._fault = document, str(error)
                raise
            self._document = document

    def _note_success(self) -> None:
        if self._failures:
            log.warning("the keys are fetched again from %s", self._endpoint)
        self._failures = 0
        self._said.clear()
        self._fetched_at = time.monotonic()
        self._next_fetch_at = self._fetched_at + self._refresh_after

    def _note_failure(self, reason: str) -> None:
        wait = _BACK_OFF_SECONDS[min(self._failures, len(_BACK_OFF_SECONDS) - 1)]
        self._failures += 1
        self._next_fetch_at = time.monotonic() + wait
        told = (reason, self._in_force() is None)
        if told not in self._said:
            self._said[told] = None
            log.warning("the keys cannot be fetched from %s: %s. %s", self._endpoint, reason, self._meanwhile())

    def _seconds_left(self) -> float:
        """For which the keys at hand may be used; negative when there are none."""
        return self._fetched_at + self._max_age - time.monotonic()

    def _meanwhile(self) -> str:
        if self._in_force() is None:
            return "There are no keys: every token is answered with 503"
        return f"The keys at hand stay in use, for {self._seconds_left():.0f} s at most"
