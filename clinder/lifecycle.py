"""up, down, status and their kin: read everything, decide (`clinder.plan`), act.

Everything that writes does so under the lock, and in the order that loses nothing: a pending launch is recorded
before the request goes out, a session before anything else is done with it, and it is forgotten only when it was
seen to be gone.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from clinder.errors import (
    ClinderError,
    InterruptedBySignalError,
    LockedError,
    NoSessionError,
    StateError,
    TimedOutError,
    UnreachableError,
)
from clinder.events import Told, ignore
from clinder.git import newest_commit
from clinder.interrupts import Interrupts
from clinder.launching import NoLedger, launch
from clinder.observation import Condition
from clinder.plan import Action, Desired, Drift, Plan, find_drift, plan
from clinder.state import Pending, Process, State, StateFolder
from clinder.stopping import observe_session, stop_session

if TYPE_CHECKING:
    from clinder.config import Config
    from clinder.events import Listener
    from clinder.observation import Observation
    from clinder.sessions import Session

DEFAULT_LOCK_TIMEOUT_S = 600.0


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
    """What `up` did and why, and the session that runs now."""

    action: UpAction
    cause: str
    session: Session


@dataclass(frozen=True, slots=True)
class DownResult:
    """What `down` did, and the session that it was about, if any."""

    action: DownAction
    session: Session | None


@dataclass(frozen=True, slots=True)
class StatusResult:
    """The recorded session, looked at live.

    Attributes:
        session: `None` where none is recorded.
        seen: how it was found.
        drift: in what it is not as declared.
        state: what else is recorded (pending, retired).
    """

    session: Session | None
    seen: Observation | None
    drift: tuple[Drift, ...]
    state: State


@dataclass(frozen=True)
class Circumstances:
    """What a command runs under.

    Attributes:
        tell: hears every event and notice.
        interrupts: asked all the time whether to leave.
        lock_timeout_s: how long to wait for the lock, in seconds.
        build_token: for hubs that ask for one.
    """

    tell: Listener = ignore
    interrupts: Interrupts = field(default_factory=Interrupts)
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    build_token: str | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of `up` beyond what is declared.

    Attributes:
        replace: launch anew, even where the recorded session would do or cannot be reached.
        ref_check: ask the repository whether the ref has moved on since the session was built.
        latest: replace the session where it has.
    """

    replace: bool = False
    ref_check: bool = False
    latest: bool = False


def desire(config: Config, wishes: Wishes) -> Desired:
    """Say what the configuration declares, with the ref's newest commit where that is asked for.

    Raises:
        ConfigError: no repository is declared.
        UnreachableError: the repository was to be asked, and does not answer.
    """
    spec = config.spec()
    newest = newest_commit(spec) if wishes.ref_check or wishes.latest else None
    return Desired(config.hubs, spec, wishes.replace, newest, wishes.latest)


def preview(config: Config, wishes: Wishes = Wishes()) -> Plan:  # it cannot be changed
    """Say what `up` would do, and why; changes nothing and needs no lock."""
    folder = StateFolder(config.state_dir)
    state = _without_live_launch(folder.read(), folder)
    return plan(desire(config, wishes), state, _observe_all(state, config))


def _without_live_launch(state: State, folder: StateFolder) -> State:
    """Leave out a pending launch whose process still holds the lock: it is no leftover."""
    if state.pending and folder.is_locked():
        return state.model_copy(update={"pending": None})
    return state


def _observe_all(state: State, config: Config) -> dict[str, Observation]:
    sessions = [*state.retired, *([state.session] if state.session else [])]
    return {session.url: observe_session(session, timeouts=config.timeouts) for session in sessions}


def up(config: Config, circumstances: Circumstances, wishes: Wishes = Wishes()) -> UpResult:
    """Make the declared session run: keep it, launch it, or replace what runs instead.

    Raises:
        ClinderError: nothing was lost; what runs is recorded, or borne by the error.
    """
    desired = desire(config, wishes)
    with _Work(config, circumstances, "up") as work:
        decided = plan(desired, work.state, _observe_all(work.state, config))
        if decided.obstacle:
            raise UnreachableError(
                decided.obstacle,
                hint="Try again later; `clinder up --replace` launches another one and stops this one when it can, "
                "`clinder state forget` drops it.",
            )
        return work.carry_out_up(decided)


def down(config: Config, circumstances: Circumstances) -> DownResult:
    """Stop the recorded session and those retired, wait until they are seen to be gone, and forget them.

    Raises:
        ClinderError: a session could not be stopped; it stays recorded.
    """
    if not StateFolder(config.state_dir).path.is_dir():
        return DownResult(DownAction.NOTHING, None)
    with _Work(config, circumstances, "down") as work:
        return work.carry_out_down(plan(None, work.state, _observe_all(work.state, config)))


def status(config: Config) -> StatusResult:
    """Look at the recorded session; changes nothing and needs no lock.

    Raises:
        StateError: the state cannot be read.
    """
    state = StateFolder(config.state_dir).read()
    session = state.session
    if session is None:
        return StatusResult(None, None, (), state)
    seen = observe_session(session, timeouts=config.timeouts)
    drift = find_drift(desire(config, Wishes()), session) if config.link else []
    return StatusResult(session, seen, tuple(drift), state)


def start(config: Config, circumstances: Circumstances) -> Session:
    """Launch a session that nobody records but the caller.

    Raises:
        ClinderError: no session came of it, or the error bears it.
    """
    return launch(
        config,
        ledger=NoLedger(),
        tell=circumstances.tell,
        interrupts=circumstances.interrupts,
        build_token=circumstances.build_token,
    )


def stop(session: Session, config: Config, circumstances: Circumstances) -> DownResult:
    """Stop a session that is not recorded, and wait until it is seen to be gone.

    Raises:
        TimedOutError: it was asked to end, and was not seen to be gone in time.
        UnreachableError: it could not even be asked.
    """
    was_there = stop_session(session, timeouts=config.timeouts, pause=circumstances.interrupts.sleep)
    return DownResult(DownAction.STOPPED if was_there else DownAction.ALREADY_GONE, session)


def forget(config: Config, circumstances: Circumstances) -> list[Session]:
    """Drop every record of sessions without touching them; returns those that were recorded."""
    with _Work(config, circumstances, "state forget") as work:
        dropped = [*work.state.retired, *([work.state.session] if work.state.session else [])]
        work.write(session=None, retired=(), pending=None)
        return dropped


def adopt(config: Config, circumstances: Circumstances, session: Session) -> Session:
    """Take in a session that was started elsewhere, after a look at it; what it was built from is as declared.

    Raises:
        StateError: another session is recorded already.
        UnreachableError, NoSessionError: it does not run.
    """
    with _Work(config, circumstances, "state adopt") as work:
        if work.state.session and work.state.session.url != session.url:
            raise StateError(
                f"a session is recorded already: {work.state.session.url}",
                hint="`clinder down` stops it, `clinder state forget` drops it.",
            )
        seen = observe_session(session, timeouts=config.timeouts)
        if seen.condition is Condition.GONE:
            raise NoSessionError(f"{session.url} does not run: {seen.reason}")
        if seen.condition is Condition.UNREACHABLE:
            raise UnreachableError(f"{session.url} cannot be adopted: {seen.reason}")
        if config.link:
            spec = config.spec()
            declared = {"hub": config.hubs[0], "provider": spec.provider, "repo": spec.repo, "ref": spec.ref}
            session = session.model_copy(update=declared)
        work.write(session=session)
        return session


def release(config: Config, circumstances: Circumstances, session: Session) -> None:
    """Stop a session that this process made `up` launch, and forget it; nothing if it is recorded no more.

    Raises:
        ClinderError: it could not be stopped; it stays recorded.
    """
    with _Work(config, circumstances, "run") as work:
        for recorded in (work.state.session, *work.state.retired):
            if recorded and recorded.url == session.url:
                work.stop(recorded)


class _Work:
    """One command's hold on the state: the lock, the state as it is, and the steps that change it."""

    def __init__(self, config: Config, circumstances: Circumstances, operation: str) -> None:
        self._config = config
        self._with = circumstances
        self._operation = operation
        self._folder = StateFolder(config.state_dir)
        self._exit = contextlib.ExitStack()
        self._before: Session | None = None
        self._pending: Pending | None = None
        self.state = State()

    def __enter__(self) -> _Work:
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
        self._with.tell(Told(f"waiting for {holder or 'another clinder'} to release {self._folder.path}"))

    def write(self, **changes: object) -> None:
        """Write the state with these fields changed.

        Raises:
            StateError: it could not be written.
        """
        self.state = self._folder.write(self.state.model_copy(update=changes))

    def carry_out_up(self, decided: Plan) -> UpResult:
        """Do the steps of a plan for `up`, in order."""
        action, cause = UpAction.KEPT, ""
        for step in decided.steps:
            if step.action is Action.LAUNCH:
                self._launch()
                action, cause = UpAction.REPLACED if self._before else UpAction.LAUNCHED, step.cause
            elif step.action is Action.FORGET:
                self._forget(step.session, step.cause)
            elif step.action is Action.KEEP:
                cause = step.cause
            elif step.action is Action.STOP and step.session:
                self._try_to_stop(step.session)
        if self.state.session is None:
            raise AssertionError("a plan for up ends with a session")
        return UpResult(action, cause, self.state.session)

    def carry_out_down(self, decided: Plan) -> DownResult:
        """Do the steps of a plan for `down`; every session is tried before the first failure is raised."""
        session = self.state.session
        action = DownAction.NOTHING
        failures: list[ClinderError] = []
        for step in decided.steps:
            if step.session is None:
                self._forget(None, step.cause)
                continue
            try:
                was_there = step.action is Action.STOP and self.stop(step.session)
            except ClinderError as error:
                if not isinstance(error, UnreachableError | TimedOutError):
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
            session = launch(
                config,
                ledger=self,
                tell=self._with.tell,
                interrupts=self._with.interrupts,
                build_token=self._with.build_token,
            )
        except ClinderError:
            if self.state.pending:
                with contextlib.suppress(StateError):  # the first error tells more, and may bear a session
                    self.write(pending=None)
            raise
        self.write(session=session)

    def keep(self, session: Session) -> None:
        """Record a session that is there now; the one before is no longer wanted (`clinder.launching.Ledger`)."""
        retired = (*self.state.retired, *([self._before] if self._before else []))
        self.write(session=session, retired=retired, pending=None)

    def drop(self, session: Session, *, is_gone: bool) -> None:
        """Take a session back that was no use: the one before stays (`clinder.launching.Ledger`)."""
        retired = tuple(other for other in self.state.retired if other != self._before)
        if not is_gone:
            retired = (*retired, session)
        self.write(session=self._before, retired=retired, pending=self._pending)

    def _forget(self, session: Session | None, cause: str) -> None:
        self._with.tell(Told(cause, warning=session is None))
        if session is None:
            self.write(pending=None)
        else:
            self._remove(session)

    def _remove(self, session: Session) -> None:
        kept = None if self.state.session == session else self.state.session
        self.write(session=kept, retired=tuple(other for other in self.state.retired if other != session))

    def _try_to_stop(self, session: Session) -> None:
        """Stop a session that is no longer wanted; where that fails it stays retired, to be tried again."""
        try:
            self.stop(session)
        except ClinderError as error:
            if isinstance(error, InterruptedBySignalError):
                raise
            self._with.tell(
                Told(f"{session.url} could not be stopped: {error.message}; it will be tried again", warning=True)
            )

    def stop(self, session: Session) -> bool:
        """Stop a session and forget it when it is seen to be gone.

        It stands in `retired` meanwhile: whatever happens, it will be tried again.
        """
        if self.state.session == session:
            self.write(session=None, retired=(*self.state.retired, session))
        self._with.tell(Told(f"stopping {session.url}"))
        was_there = stop_session(session, timeouts=self._config.timeouts, pause=self._with.interrupts.sleep)
        self._remove(session)
        return was_there
