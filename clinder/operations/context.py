"""The context that a command runs in: its event listener, signals, lock timeout and build token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from clinder.model.events import discard
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinder.model.events import Listener, RateLimit

DEFAULT_LOCK_TIMEOUT_S = 600.0

Recall: TypeAlias = "Callable[[str], RateLimit | None]"
"""Gets the rate limit that a hub, given by its URL, reported at an earlier launch."""


def recall_nothing(_hub: str) -> RateLimit | None:
    """Return no rate limit."""
    return None


@dataclass(frozen=True)
class RunContext:
    """The context that a command runs in.

    Attributes:
        on_event: receives every event and progress message.
        interrupts: the signals that arrived; checked while waiting.
        lock_timeout_s: how long to wait for the lock, in seconds.
        build_token: the token for hubs that require one to launch.
        recall: gets the rate limit that a hub reported at an earlier launch.
    """

    on_event: Listener = discard
    interrupts: Interrupts = field(default_factory=Interrupts)
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    build_token: str | None = field(default=None, repr=False)
    recall: Recall = recall_nothing
