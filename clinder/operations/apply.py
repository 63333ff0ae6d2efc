"""Apply a plan: launch, stop and forget sessions, and record each step in the state.

The order guarantees that no session is lost: a pending launch is recorded before it is requested, a session is recorded
before anything else is done with it, and its record is removed only when it is confirmed stopped.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from clinder.model.errors import (
    ClinderError,
    InterruptedBySignalError,
    RefusedError,
    StateError,
    TimedOutError,
    UnreachableError,
)
from clinder.model.events import Message
from clinder.operations.launch import launch
from clinder.operations.plan import Action
from clinder.operations.probe import stop_session
from clinder.operations.results import DownAction, DownResult, UpAction, UpResult
from clinder.operations.state_recorder import StateRecorder

if TYPE_CHECKING:
    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext
    from clinder.operations.plan import Plan, Step
    from clinder.operations.transaction import StateTransaction


class PlanExecutor:
    """Applies plans within a transaction on the state."""

    def __init__(self, config: Config, context: RunContext, transaction: StateTransaction) -> None:
        self._config = config
        self._context = context
        self._transaction = transaction

    def apply_up(self, plan: Plan) -> UpResult:
        """Apply a plan for `up`.

        A session that is no longer wanted and cannot be stopped only causes a warning: it stays recorded.

        Raises:
            UnreachableError: the plan has an obstacle; its steps were applied.
            ClinderError: the launch failed, or the state cannot be written.
        """
        action, cause = UpAction.KEPT, ""
        for step in plan.steps:
            if step.action in (Action.KEEP, Action.LAUNCH):
                cause = step.cause
            if step.action is Action.LAUNCH:
                action = UpAction.REPLACED if self._transaction.state.session else UpAction.LAUNCHED
                self._launch()
            elif step.action is Action.FORGET:
                self._forget(step)
            elif step.action is Action.STOP and step.session:
                self._try_to_stop(step.session, waits=step.waits)
        if plan.obstacle:
            raise UnreachableError(
                plan.obstacle,
                hint="Try again later. `clinder up --replace` launches another session and stops this one once it can "
                "be reached; `clinder state forget` removes its record.",
            )
        if self._transaction.state.session is None:
            raise AssertionError("a plan for up ends with a session")
        return UpResult(action, cause, self._transaction.state.session)

    def apply_down(self, plan: Plan) -> DownResult:
        """Apply a plan for `down`.

        Raises:
            ClinderError: the first failure to stop a session; the other sessions were stopped nevertheless.
        """
        session = self._transaction.state.session or next(iter(self._transaction.state.retired), None)
        was_running = False
        failures: list[ClinderError] = []
        for step in plan.steps:
            if step.action is Action.FORGET:
                self._forget(step)
            elif step.session:
                try:
                    was_running |= self.stop(step.session)
                except (UnreachableError, TimedOutError, RefusedError) as error:
                    failures.append(error)
        if failures:
            raise failures[0]
        if session is None:
            return DownResult(DownAction.NOTHING, None)
        return DownResult(DownAction.STOPPED if was_running else DownAction.ALREADY_GONE, session)

    def stop(self, session: Session, *, waits: bool = True) -> bool:
        """Stop a recorded session, and remove its record once it is confirmed stopped.

        Args:
            session: the session.
            waits: whether to wait for a session that cannot be reached.

        Returns:
            Whether it was still running.

        Raises:
            StateError: the session was stopped, but its record cannot be removed.
            ClinderError: the session cannot be stopped. It stays recorded as retired, or the error carries it.
        """
        if self._transaction.state.session == session:
            with suppress(StateError):  # it is stopped anyway; the write after that reports the same error
                self._transaction.write(session=None, retired=(*self._transaction.state.retired, session))
        self._context.on_event(Message(f"stopping {session.url}"))
        try:
            was_running = stop_session(
                session, timeouts=self._config.timeouts, pause=self._context.interrupts.sleep, waits=waits
            )
        except ClinderError as error:
            if not self._transaction.is_recorded(session):
                error.session = session
            raise
        try:
            self._transaction.forget(session)
        except StateError as error:
            error.hint = f"The session was stopped. {error.hint}"
            raise
        return was_running

    def _try_to_stop(self, session: Session, *, waits: bool) -> None:
        try:
            self.stop(session, waits=waits)
        except InterruptedBySignalError:
            raise
        except ClinderError as error:
            text = f"{session.url} could not be stopped: {error.message}"
            hint = "the next `clinder up` or `clinder down` tries again"
            self._context.on_event(Message(f"{text}; {hint}", warning=True))

    def _launch(self) -> None:
        recorder = StateRecorder(self._transaction, self._config.spec(), self._context.on_event)
        try:
            session = launch(self._config, self._context, recorder)
        except ClinderError as error:
            if not error.orphaned_sessions:  # otherwise the next command reports the unfinished launch as well
                recorder.abandon()
            raise
        recorder.complete(session)

    def _forget(self, step: Step) -> None:
        self._context.on_event(Message(step.cause, warning=step.session is None))
        if step.session:
            self._transaction.forget(step.session)
        else:
            self._transaction.write(pending=None)
