"""Limits on how long something may take, which hold on a busy machine too."""

from __future__ import annotations

import subprocess
import sys

_WORK = """
import time
began = time.perf_counter()
while time.process_time() < 0.2:
    pass
print((time.perf_counter() - began) / time.process_time())
"""


def assert_took_under(took_s: float, limit_s: float) -> None:
    """Assert that something took less than `limit_s` seconds, or as many times that as the machine is slower now."""
    if took_s >= limit_s:
        slow = slowness()
        words = f"took {took_s:.1f} s; the limit is {limit_s} s on an idle machine, and {slow:.1f} times as much now"
        assert took_s < limit_s * slow, words


def slowness() -> float:
    """Return how many seconds a process needs at the moment for a second of work; 1 on an idle machine."""
    done = subprocess.run([sys.executable, "-S", "-c", _WORK], capture_output=True, text=True, check=True)
    return max(1.0, float(done.stdout))
