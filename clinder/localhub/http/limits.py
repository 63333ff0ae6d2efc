"""The launch rate limit per hour and address, counted and reported as BinderHub does."""

from __future__ import annotations

import time
from dataclasses import dataclass

WINDOW_S = 3600


@dataclass(slots=True)
class _Count:
    reset: int
    remaining: int


class RateLimiter:
    """A counter of launches in fixed windows that begin with the first launch from an address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[str, _Count] = {}

    def take(self, address: str) -> dict[str, str] | None:
        """Count a launch.

        Returns:
            The headers that report the rate limit; `None` if the limit has been reached.
        """
        now = int(time.time())
        count = self._counts.get(address)
        if count is None or count.reset <= now:
            count = self._counts[address] = _Count(now + WINDOW_S, self._limit)
        if count.remaining <= 0:
            return None
        count.remaining -= 1
        return {
            "X-Ratelimit-Remaining": str(count.remaining),
            "X-Ratelimit-Reset": str(count.reset),
            "X-Ratelimit-Limit": str(self._limit),
        }
