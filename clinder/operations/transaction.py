"""A transaction on the state: take the lock, read the state, and write changes to it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clinder.model.errors import LockedError, StateError
from clinder.model.events import Message
from clinder.state import State, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext
    from clinder.state import Process


@dataclass(slots=True)
class StateTransaction:
    """The state, read and changed while the lock on its folder is held.

    Attributes:
        operation: the command that holds the lock, as other commands see it.
        folder: the locked state folder.
        state: the state as it was last read or written.
    """

    operation: str
    folder: StateFolder
    state: State

    @classmethod
    @contextmanager
    def begin(cls, config: Config, context: RunContext, operation: str) -> Iterator[StateTransaction]:
        """Take the lock and read the state; release the lock on exit.

        Raises:
            LockedError: another command held the lock for longer than `context.lock_timeout_s`.
            StateError: the state cannot be read, or its folder cannot be created.
            InterruptedBySignalError: a signal arrived while waiting for the lock.
        """
        folder, interrupts = StateFolder.of(config), context.interrupts

        def report_holder(holder: Process | None) -> None:
            context.on_event(Message(f"waiting for {holder or 'another clinder'} to release {folder.path}"))

        with ExitStack() as stack:
            try:
                stack.enter_context(
                    folder.locked(
                        operation,
                        timeout_s=context.lock_timeout_s,
                        on_wait=report_holder,
                        is_cancelled=lambda: interrupts.requested is not None,
                    )
                )
            except LockedError:
                interrupts.check()
                raise
            interrupts.check()
            yield cls(operation, folder, folder.read())

    def write(self, **changes: Any) -> None:
        """Write the state with some fields changed.

        Args:
            **changes: new values for fields of `State`.

        Raises:
            StateError: the state cannot be written.
        """
        self.state = self.folder.write(replace(self.state, **changes))

    def forget(self, *sessions: Session) -> None:
        """Remove the records of some sessions.

        Raises:
            StateError: the state cannot be written.
        """
        current = self.state.session
        self.write(
            session=None if current in sessions else current,
            retired=tuple(each for each in self.state.retired if each not in sessions),
        )

    def is_recorded(self, session: Session) -> bool:
        """Whether the state on disk contains a session."""
        try:
            return any(each.url == session.url for each in self.folder.read().sessions)
        except StateError:
            return False
