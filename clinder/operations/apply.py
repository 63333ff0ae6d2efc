"""Carrying a plan out, under the lock: the one place where sessions are launched, stopped and recorded.

The order loses nothing: a pending launch is recorded before the request goes out, a session before anything else is
done with it, and it is forgotten only when it was seen to be gone. Nothing is decided here.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clinder.model.errors import (
    ClinderError,
    InterruptedBySignalError,
    LockedError,
    RefusedError,
    StateError,
    TimedOutError,
    UnreachableError,
)
from clinder.model.events import Message
from clinder.operations.handover import hand_over, offer
from clinder.operations.launch import launch
from clinder.operations.plan import Action
from clinder.operations.probe import stop_session
from clinder.operations.results import DownAction, DownResult, UpAction, UpResult
from clinder.state import Pending, Process, State, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext
    from clinder.operations.plan import Plan, Step


class Work:
    """One command's hold on the state: the lock, the state as it is, and the steps that change it."""

    def __init__(self, config: Config, context: RunContext, operation: str) -> None:
        self._config = config
        self._with = context
        self._operation = operation
        self._folder = StateFolder.of(config)
        self._exit = contextlib.ExitStack()
        self._before: Session | None = None
        self._pending: Pending | None = None
        self.state = State()

    def __enter__(self) -> Work:
        interrupts = self._with.interrupts
        try:
            self._exit.enter_context(
                self._folder.locked(
                    self._operation,
                    timeout_s=self._with.lock_timeout_s,
                    on_wait=self._tell_of_holder,
                    is_cancelled=lambda: interrupts.requested is not None,
                )
            )
        except LockedError:
            interrupts.check()
            raise
        try:
            interrupts.check()
            self.state = self._folder.read()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def _tell_of_holder(self, holder: Process | None) -> None:
        self._with.on_event(Message(f"waiting for {holder or 'another clinder'} to release {self._folder.path}"))

    def write(self, **changes: Any) -> None:
        """Write the state with these fields changed.

        Raises:
            StateError: it could not be written.
        """
        self.state = self._folder.write(replace(self.state, **changes))

    def carry_out_up(self, decided: Plan) -> UpResult:
        """Do the steps of a plan for `up`, in order."""
        action, cause = self.carry_out(decided.steps)
        if self.state.session is None:
            raise AssertionError("a plan for up ends with a session")
        return UpResult(action, cause, self.state.session)

    def carry_out(self, steps: Iterable[Step]) -> tuple[UpAction, str]:
        """Do steps, in order; say what came of them for the declared session, and why."""
        action, cause = UpAction.KEPT, ""
        for step in steps:
            if step.action is Action.LAUNCH:
                self._launch()
                action, cause = UpAction.REPLACED if self._before else UpAction.LAUNCHED, step.cause
            elif step.action is Action.FORGET:
                self._forget(step.session, step.cause)
            elif step.action is Action.KEEP:
                cause = step.cause
            elif step.action is Action.STOP and step.session:
                self._try_to_stop(step.session, waits=step.waits)
        return action, cause

    def carry_out_down(self, decided: Plan) -> DownResult:
        """Do the steps of a plan for `down`; every session is tried before the first failure is raised."""
        session = self.state.session or next(iter(self.state.retired), None)
        action = DownAction.NOTHING
        failures: list[ClinderError] = []
        for step in decided.steps:
            if step.session is None:
                self._forget(None, step.cause)
                continue
            try:
                was_there = step.action is Action.STOP and self.stop(step.session)
            except ClinderError as error:
                if not isinstance(error, UnreachableError | TimedOutError | RefusedError):
                    raise
                failures.append(error)
                continue
            if step.action is Action.FORGET:
                self._forget(step.session, step.cause)
            if was_there:
                action = DownAction.STOPPED
            elif action is DownAction.NOTHING:
                action = DownAction.ALREADY_GONE
        if failures:
            raise failures[0]
        return DownResult(action, session)

    def _launch(self) -> None:
        config, spec = self._config, self._config.spec()
        self._before = self.state.session
        self._pending = Pending(
            hub=config.hubs[0],
            provider=spec.provider,
            repo=spec.repo,
            ref=spec.ref,
            process=Process.current(self._operation),
        )
        self.write(pending=self._pending)
        try:
            session = launch(config, self._with, self)
        except ClinderError as error:
            if self.state.pending and not error.orphaned_sessions:  # else the next command tells of it once more
                with contextlib.suppress(StateError):  # the first error tells more, and may bear a session
                    self.write(pending=None)
            raise
        self._complete(session)

    def _complete(self, session: Session) -> None:
        """Record what is known of a session now that it is proven; that it is there is on record already."""
        try:
            self.write(session=session)
        except StateError as error:
            if not self._is_on_record(session):
                error.session = session
                raise
            self.state = replace(self.state, session=session)
            self._with.on_event(Message(f"{error.message}; the session is on record all the same", warning=True))

    def _is_on_record(self, session: Session) -> bool:
        try:
            state = self._folder.read()
        except StateError:
            return False
        return any(known and known.url == session.url for known in (state.session, *state.retired))

    def begin(self, hub: str) -> None:
        """Record which hub is asked, before it is."""
        if self._pending and self._pending.hub != hub:
            self._pending = replace(self._pending, hub=hub)
            self.write(pending=self._pending)

    def keep(self, session: Session) -> None:
        """Record a launched session; the one before it is retired."""
        retired = (*self.state.retired, *([self._before] if self._before else []))
        offer(session, self._folder.file)
        self.write(session=session, retired=retired, pending=None)
        hand_over(session)

    def drop(self, session: Session, *, is_gone: bool) -> bool:
        """Remove a launched session that is of no use; the one before it stays."""
        retired = tuple(other for other in self.state.retired if other != self._before)
        if not is_gone:
            retired = (*retired, session)
        self.write(session=self._before, retired=retired, pending=self._pending)
        return not is_gone

    def _forget(self, session: Session | None, cause: str) -> None:
        self._with.on_event(Message(cause, warning=session is None))
        if session is None:
            self.write(pending=None)
        else:
            self._remove(session)

    def _remove(self, session: Session) -> None:
        kept = None if self.state.session == session else self.state.session
        self.write(session=kept, retired=tuple(other for other in self.state.retired if other != session))

    def _try_to_stop(self, session: Session, *, waits: bool) -> None:
        """Stop a session that is no longer wanted; where that fails it stays retired, to be tried again."""
        try:
            self.stop(session, waits=waits)
        except ClinderError as error:
            if isinstance(error, InterruptedBySignalError):
                raise
            self._with.on_event(
                Message(f"{session.url} could not be stopped: {error.message}; it will be tried again", warning=True)
            )

    def stop(self, session: Session, *, waits: bool = True) -> bool:
        """Stop a session and forget it when it is seen to be gone.

        It stands in `retired` meanwhile: whatever happens, it will be tried again. Where even that cannot be written it
        is stopped all the same.

        Raises:
            StateError: it was stopped, and that cannot be recorded.
            ClinderError: it could not be stopped; it stays recorded, or the error bears it.
        """
        if self.state.session == session:
            with contextlib.suppress(StateError):  # what is wrong will show again below
                self.write(session=None, retired=(*self.state.retired, session))
        self._with.on_event(Message(f"stopping {session.url}"))
        try:
            was_there = stop_session(
                session, timeouts=self._config.timeouts, pause=self._with.interrupts.sleep, waits=waits
            )
        except ClinderError as error:
            if not self._is_on_record(session):
                error.session = session
            raise
        try:
            self._remove(session)
        except StateError as error:
            error.hint = f"The session was stopped. {error.hint}"
            raise
        return was_there
