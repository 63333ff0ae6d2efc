"""How a session was found when somebody looked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Condition(StrEnum):
    """How a session is, as seen from here. Unreachable is not gone."""

    RUNNING = "running"
    GONE = "gone"
    UNREACHABLE = "unreachable"


class Cause(StrEnum):
    """Why a session counts as out of reach, where that makes a difference."""

    TOKEN_REFUSED = "token refused"  # noqa: S105  # words, no secret
    CERTIFICATE_UNTRUSTED = "certificate not trusted"
    CONNECTION_REFUSED = "connection refused"
    UNAVAILABLE = "HTTP 503"
    OTHER_ANSWER = "another answer"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a look at a session showed.

    Attributes:
        condition: running, gone or unreachable.
        reason: why it counts as that, in a few words for people; empty when running.
        checked_at: when the look was taken (UTC).
        last_activity: when the server last did something, in its own words (ISO 8601).
        kernels: how many kernels run.
        connections: how many clients are connected to them.
        cause: of what kind the reason is, where the session is out of reach.
    """

    condition: Condition
    reason: str
    checked_at: datetime
    last_activity: str | None = None
    kernels: int | None = None
    connections: int | None = None
    cause: Cause | None = None

    @property
    def is_final(self) -> bool:
        """Whether time does not mend it."""
        return self.condition is Condition.GONE or self.cause in (Cause.TOKEN_REFUSED, Cause.CERTIFICATE_UNTRUSTED)
