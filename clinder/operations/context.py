"""What a command runs under: who is told, which signals count, how long it waits for others."""

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
"""Asked by a hub's URL what that hub told of its limit at an earlier launch."""


def recall_nothing(_hub: str) -> RateLimit | None:
    """Know of no earlier launch."""
    return None


@dataclass(frozen=True)
class RunContext:
    """What a command runs under.

    Attributes:
        on_event: hears every event and notice.
        interrupts: asked all the time whether to leave.
        lock_timeout_s: how long to wait for the lock, in seconds.
        build_token: for hubs that ask for one.
        recall: says what a hub told of its limit at an earlier launch.
    """

    on_event: Listener = discard
    interrupts: Interrupts = field(default_factory=Interrupts)
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    build_token: str | None = field(default=None, repr=False)
    recall: Recall = recall_nothing
