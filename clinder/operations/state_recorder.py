"""Record a launch in the state, step by step, as `up` does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from clinder.model.errors import StateError
from clinder.model.events import Message
from clinder.operations.handover import hand_over, offer
from clinder.state import Pending, Process

if TYPE_CHECKING:
    from clinder.model.events import Listener
    from clinder.model.repository import RepositorySpec
    from clinder.model.session import Session
    from clinder.operations.transaction import StateTransaction


class StateRecorder:
    """Records one launch in the state; implements `SessionRecorder`.

    Args:
        transaction: the open transaction. Its current session is the one that the launch replaces.
        spec: what is launched.
        on_event: receives a warning if the finished session cannot be written.
    """

    def __init__(self, transaction: StateTransaction, spec: RepositorySpec, on_event: Listener) -> None:
        self._transaction = transaction
        self._spec = spec
        self._on_event = on_event
        self._process = Process.current(transaction.operation)
        self._replaced = transaction.state.session
        self._pending: Pending | None = None

    def pending(self, hub: str) -> None:
        """Record that a launch is about to be requested from a hub."""
        spec = self._spec
        self._pending = Pending(hub=hub, provider=spec.provider, repo=spec.repo, ref=spec.ref, process=self._process)
        if self._pending != self._transaction.state.pending:
            self._transaction.write(pending=self._pending)

    def record(self, session: Session) -> None:
        """Record the launched session, and retire the one that it replaces."""
        retired = self._transaction.state.retired
        if self._replaced:
            retired = (*retired, self._replaced)
        offer(session, self._transaction.folder.file)
        self._transaction.write(session=session, retired=retired, pending=None)
        hand_over(session)

    def retire(self, session: Session) -> None:
        """Record a session that is running and not wanted, before it is stopped."""
        state = self._transaction.state
        if session not in state.retired:
            self._transaction.write(retired=(*state.retired, session))

    def discard(self, session: Session, *, is_gone: bool) -> bool:
        """Remove a recorded or retired session, which stays retired unless it is gone; a replaced one is restored."""
        state = self._transaction.state
        current, pending = state.session, state.pending
        retired = tuple(each for each in state.retired if each != session)
        if current == session:
            current, pending = self._replaced, self._pending
            retired = tuple(each for each in retired if each != self._replaced)
        if not is_gone:
            retired = (*retired, session)
        self._transaction.write(session=current, retired=retired, pending=pending)
        return not is_gone

    def complete(self, session: Session) -> None:
        """Update the record of a session that was launched and checked.

        Raises:
            StateError: the session is no longer recorded, and cannot be; the error carries it.
        """
        try:
            self._transaction.write(session=session)
        except StateError as error:
            if not self._transaction.is_recorded(session):
                error.session = session
                raise
            self._transaction.state = replace(self._transaction.state, session=session)
            self._on_event(Message(f"{error.message}; the session itself is recorded", warning=True))

    def abandon(self) -> None:
        """Remove the pending launch after it failed without leaving a session on a hub."""
        if self._transaction.state.pending:
            with suppress(StateError):  # the error of the launch matters more, and may carry a session
                self._transaction.write(pending=None)
