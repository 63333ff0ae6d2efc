"""status and plan: what is declared, recorded and running, read and compared. Nothing is changed, no lock needed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clinder.operations.plan import Desired, Drift, Plan, find_drift, plan
from clinder.operations.probe import observe_session
from clinder.state import State, StateFolder
from clinder.system.git import RefGoneError, newest_commit

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinder.config.loading import Config
    from clinder.model.observation import Observation
    from clinder.model.session import Session


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
class UpOptions:
    """What is wanted of `up` beyond what is declared.

    Attributes:
        replace: launch anew, even where the recorded session would do or cannot be reached.
        ref_check: ask the repository whether the ref has moved on since the session was built.
        latest: replace the session where it has.
    """

    replace: bool = False
    ref_check: bool = False
    latest: bool = False


def desired_state(config: Config, options: UpOptions) -> Desired:
    """Say what the configuration declares, with the ref's newest commit where that is asked for.

    Raises:
        ConfigError: no repository is declared.
        UnreachableError: the repository was to be asked, and does not answer.
    """
    desired = Desired(config.hubs, config.spec(), options.replace, wants_newest=options.latest)
    if not (options.ref_check or options.latest):
        return desired

    try:
        return replace(desired, newest_commit=newest_commit(desired.spec))
    except RefGoneError:
        return replace(desired, ref_is_gone=True)


def preview(config: Config, options: UpOptions = UpOptions()) -> Plan:
    """Say what `up` would do, and why; changes nothing and needs no lock."""
    folder = StateFolder.of(config)
    state = _without_live_launch(folder.read(), folder)
    return plan(desired_state(config, options), state, observe_all(state, config))


def _without_live_launch(state: State, folder: StateFolder) -> State:
    """Leave out a pending launch whose process still holds the lock: it is no leftover."""
    if state.pending and folder.is_locked():
        return replace(state, pending=None)
    return state


def observe_all(state: State, config: Config, *, pause: Callable[[float], None] = time.sleep) -> dict[str, Observation]:
    """Look at every session that is recorded; the findings are named by the sessions' URLs.

    Args:
        state: the record.
        config: its timeouts bound each look.
        pause: called meanwhile; raises to leave.
    """
    return {each.url: observe_session(each, timeouts=config.timeouts, pause=pause) for each in state.sessions}


def status(config: Config) -> StatusResult:
    """Look at the recorded session; changes nothing and needs no lock.

    Raises:
        StateError: the state cannot be read.
    """
    state = StateFolder.of(config).read()
    session = state.session
    if session is None:
        return StatusResult(None, None, (), state)
    seen = observe_session(session, timeouts=config.timeouts)
    drift = find_drift(desired_state(config, UpOptions()), session) if config.link else []
    return StatusResult(session, seen, tuple(drift), state)
