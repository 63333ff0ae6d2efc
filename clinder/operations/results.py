"""The results of the commands that launch and stop sessions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clinder.model.session import Session


class UpAction(StrEnum):
    """What `up` did."""

    LAUNCHED = "launched"
    KEPT = "kept"
    REPLACED = "replaced"


class DownAction(StrEnum):
    """What `down` or `stop` did."""

    STOPPED = "stopped"
    ALREADY_GONE = "already gone"
    NOTHING = "nothing to stop"


@dataclass(frozen=True, slots=True)
class UpResult:
    """What `up` did, why, and the session that is running now."""

    action: UpAction
    cause: str
    session: Session


@dataclass(frozen=True, slots=True)
class DownResult:
    """What `down` or `stop` did, and the session concerned, if any."""

    action: DownAction
    session: Session | None
