"""The rate limit: so many launches an hour and address, counted and told as BinderHub does."""

from __future__ import annotations

import time
from dataclasses import dataclass

WINDOW_S = 3600


@dataclass(slots=True)
class _Count:
    reset: int
    left: int


class RateLimiter:
    """Counts launches in fixed windows that begin with an address's first launch."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: dict[str, _Count] = {}

    def take(self, address: str) -> dict[str, str] | None:
        """Count a launch.

        Returns:
            the headers that tell what is left; `None` if nothing was.
        """
        now = int(time.time())
        count = self._counts.get(address)
        if count is None or count.reset <= now:
            count = self._counts[address] = _Count(now + WINDOW_S, self._limit)
        if count.left <= 0:
            return None
        count.left -= 1
        return {
            "X-Ratelimit-Remaining": str(count.left),
            "X-Ratelimit-Reset": str(count.reset),
            "X-Ratelimit-Limit": str(self._limit),
        }
