"""up, down, status and their kin: read everything, let `clinder.plan` decide, let `clinder.acting` act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinder.acting import DownAction, DownResult, Work
from clinder.errors import NoSessionError, StateError, UnreachableError
from clinder.git import newest_commit
from clinder.launching import NoLedger, launch
from clinder.observation import Condition
from clinder.plan import Desired, Drift, Plan, find_drift, plan
from clinder.state import State, StateFolder
from clinder.stopping import observe_session, stop_session

if TYPE_CHECKING:
    from clinder.acting import Circumstances, UpResult
    from clinder.config import Config
    from clinder.observation import Observation
    from clinder.sessions import Session


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
    with Work(config, circumstances, "up") as work:
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
    with Work(config, circumstances, "down") as work:
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
    with Work(config, circumstances, "state forget") as work:
        dropped = [*work.state.retired, *([work.state.session] if work.state.session else [])]
        work.write(session=None, retired=(), pending=None)
        return dropped


def adopt(config: Config, circumstances: Circumstances, session: Session) -> Session:
    """Take in a session that was started elsewhere, after a look at it; what it was built from is as declared.

    Raises:
        StateError: another session is recorded already.
        UnreachableError, NoSessionError: it does not run.
    """
    with Work(config, circumstances, "state adopt") as work:
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
    with Work(config, circumstances, "run") as work:
        for recorded in (work.state.session, *work.state.retired):
            if recorded and recorded.url == session.url:
                work.stop(recorded)
