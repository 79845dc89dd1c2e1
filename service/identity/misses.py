"""How often a key that is not held may be fetched for."""

import math
import time

from cachetools import TTLCache

_SECONDS_AFTER_ONE_IN_VAIN = 5.0
# A kid that a fetch did not find is not fetched for again so soon, so that one stale client does not fetch on and on.
_UNKNOWN_SECONDS = 10.0
_MOST_UNKNOWN = 1000


class Misses:
    """Made-up kids cost the endpoint a request in 5 seconds. One that it knows, as after a rotation, may be followed by
    another at once; several by one a second."""

    def __init__(self) -> None:
        self._next_at = -math.inf
        self._next_if_found = -math.inf
        self._unknown_until: TTLCache[str, float] = TTLCache(_MOST_UNKNOWN, _UNKNOWN_SECONDS)

    def wait(self, kid: str) -> float:
        """Seconds until this one may be fetched for; zero or less when it may be now."""
        return max(self._next_at, self._unknown_until.get(kid, -math.inf)) - time.monotonic()

    def begin(self) -> None:
        """A fetch begins. It counts from now on, for whoever comes before it is known how it ended."""
        now = time.monotonic()
        self._next_if_found = max(self._next_at, now - _SECONDS_AFTER_ONE_IN_VAIN) + 1.0
        self._next_at = now + _SECONDS_AFTER_ONE_IN_VAIN

    def forgive(self) -> None:
        """It was not in vain."""
        self._next_at = self._next_if_found

    def remember(self, kid: str) -> None:
        """It was."""
        self._unknown_until[kid] = time.monotonic() + _UNKNOWN_SECONDS
