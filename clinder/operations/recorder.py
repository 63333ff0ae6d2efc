"""The record of sessions while they are launched, as a launch sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from clinder.model.session import Session


class SessionRecorder(Protocol):
    """Who remembers sessions while they are launched."""

    def pending(self, hub: str) -> None:
        """Record that this hub is asked for a launch now.

        Raises:
            StateError: it cannot be recorded; the hub is not asked.
        """

    def record(self, session: Session) -> None:
        """Record a session that is there now, before anything else is done with it.

        Raises:
            StateError: it cannot be recorded; it is then stopped.
        """

    def retire(self, session: Session) -> None:
        """Record a session that is there and is not wanted, before it is stopped.

        Raises:
            StateError: it cannot be recorded; it is stopped all the same.
        """

    def discard(self, session: Session, *, is_gone: bool) -> bool:
        """Take a session back that was kept or retired; `is_gone` says whether it was seen to end.

        Returns:
            Whether it stays recorded, to be stopped later.

        Raises:
            StateError: it cannot be recorded.
        """


class NullRecorder:
    """Remembers nothing: for sessions that their caller alone looks after."""

    def pending(self, hub: str) -> None:
        """Record nothing."""

    def record(self, session: Session) -> None:
        """Record nothing."""

    def retire(self, session: Session) -> None:
        """Record nothing."""

    def discard(self, session: Session, *, is_gone: bool) -> bool:
        """Record nothing."""
        return False
