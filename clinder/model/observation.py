"""Observations of a session: whether it is running, gone or unreachable, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Condition(StrEnum):
    """The condition of a session. An unreachable session may still be running."""

    RUNNING = "running"
    GONE = "gone"
    UNREACHABLE = "unreachable"


class Cause(Enum):
    """The kinds of reasons why a session is unreachable."""

    TOKEN_REFUSED = auto()
    CERTIFICATE_UNTRUSTED = auto()
    CONNECTION_REFUSED = auto()
    UNAVAILABLE = auto()  # HTTP 503
    OTHER_ANSWER = auto()
    NO_ANSWER = auto()


@dataclass(frozen=True, slots=True)
class Observation:
    """The condition of a session at one moment.

    Attributes:
        condition: running, gone or unreachable.
        reason: why the session is gone or unreachable, as text for people; `None` if it is running.
        checked_at: when the session was observed (UTC).
        last_activity: when the server was last active (ISO 8601), as the server reports it.
        kernels: the number of running kernels.
        connections: the number of connections to them.
        cause: the kind of the reason; only set if the session is unreachable.
    """

    condition: Condition
    reason: str | None
    checked_at: datetime
    last_activity: str | None = None
    kernels: int | None = None
    connections: int | None = None
    cause: Cause | None = None

    @property
    def is_final(self) -> bool:
        """Whether waiting cannot make the session usable again."""
        return self.condition is Condition.GONE or self.cause in (Cause.TOKEN_REFUSED, Cause.CERTIFICATE_UNTRUSTED)
