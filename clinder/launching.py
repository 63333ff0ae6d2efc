"""From a request to a session that works: asks the hubs of the list, keeps the deadlines, tries again.

What becomes of a session is for the caller to record; it is told through a `Ledger` before anything else is done
with the session.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from clinder.errors import (
    ClinderError,
    InterruptedBySignalError,
    LaunchError,
    LaunchRetryError,
    RateLimitedError,
    StateError,
    TimedOutError,
    UnreachableError,
)
from clinder.events import Attempt, CaughtUp, Checking, Event, Phase, Proven, Retrying
from clinder.sessions import PhaseTime, Session, session_from_ready
from clinder.settings import LOCAL_HUB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from clinder.config import Config
    from clinder.events import LaunchesLeft, Listener
    from clinder.hubs.stream import EventStream
    from clinder.interrupts import Interrupts
    from clinder.repository import RepositorySpec
    from clinder.settings import Timeouts

_TAKE_S = 0.1
_FAILED_TEXT_S = 1.0
"""How long the text of a failure may take to arrive after a bare `failed` (measured: at once, or never)."""
_MAY_BE_LEFT = "The hub launches it all the same, and stops it once it has been idle."


class Hub(Protocol):
    """What a launch needs of a hub."""

    @property
    def url(self) -> str:
        """The hub, as declared."""

    @property
    def launches_on_its_own(self) -> bool:
        """Whether a launch goes on when nobody listens any more, and leaves a session that nobody has the token of."""

    @property
    def launches_left(self) -> LaunchesLeft | None:
        """How many launches it still allows, where it has told."""

    def launch(self, spec: RepositorySpec) -> EventStream:
        """Ask for a launch and hear of it."""


class Ledger(Protocol):
    """Who remembers sessions while they are launched."""

    def keep(self, session: Session) -> None:
        """Record a session that is there now, before anything else is done with it.

        Raises:
            StateError: it cannot be recorded; it is then stopped.
        """

    def drop(self, session: Session, *, is_gone: bool) -> None:
        """Take a session back that turned out to be no use; `is_gone` says whether it was seen to end."""


class NoLedger:
    """Remembers nothing: for sessions that their caller alone looks after."""

    def keep(self, session: Session) -> None:
        """Record nothing."""

    def drop(self, session: Session, *, is_gone: bool) -> None:
        """Record nothing."""


def open_hub(url: str, timeouts: Timeouts, *, build_token: str | None = None) -> Hub:
    """Make the hub for a declared URL; `local` is the embedded one."""
    if url == LOCAL_HUB:
        from clinder.hubs.embedded import EmbeddedHub

        return EmbeddedHub()
    from clinder.hubs.binderhub import BinderHub

    return BinderHub(url, connect_s=timeouts.connect.total_seconds(), build_token=build_token)


def launch(
    config: Config, *, ledger: Ledger, tell: Listener, interrupts: Interrupts, build_token: str | None = None
) -> Session:
    """Launch a session on the first hub of the list that gives one.

    Args:
        config: declares hubs, repository spec, timeouts, retries and the kernel to warm.
        ledger: records the session as soon as it is there.
        tell: hears every event and notice.
        interrupts: asked all the time whether to leave.
        build_token: for hubs that ask for one.

    Returns:
        The session, answering with its token, its kernel proven.

    Raises:
        ClinderError: of the kind of the last failure; after several tries its message names each.
        InterruptedBySignalError: a signal came; a session that was already on its way has been stopped.
    """
    spec, retry = config.spec(), config.settings.retry
    failures: list[ClinderError] = []
    while True:
        hub = open_hub(config.hubs[len(failures) % len(config.hubs)], config.timeouts, build_token=build_token)
        tell(Attempt(hub.url, spec, len(failures) + 1, retry.attempts))
        try:
            return _Launch(hub, config, ledger, tell, interrupts).run(spec)
        except InterruptedBySignalError:
            raise
        except ClinderError as error:
            failures.append(error)
            if not error.retryable or len(failures) >= retry.attempts:
                raise _combined(failures) from error
            following = config.hubs[len(failures) % len(config.hubs)]
            pause_s = _pause_s(error if following == hub.url else None, len(failures), retry.backoff, retry.wait)
            tell(Retrying(error.message, following, pause_s))
        interrupts.sleep(pause_s)


def _combined(failures: list[ClinderError]) -> ClinderError:
    """Let the last error tell of those before it, too."""
    last = failures[-1]
    if len(failures) > 1:
        tries = "\n".join(f"  {number}. {error.message}" for number, error in enumerate(failures, 1))
        last.message = f"no session after {len(failures)} tries:\n{tries}"
    return last


def _pause_s(error: ClinderError | None, tries: int, backoff: timedelta, longest: timedelta) -> float:
    """Choose the pause before the next try: what that hub asked for, else doubled each time, with jitter."""
    named = error.retry_after_s if isinstance(error, RateLimitedError) else None
    pause_s = named if named is not None else backoff.total_seconds() * 2 ** (tries - 1) * random.uniform(0.75, 1.25)  # noqa: S311
    return min(pause_s, longest.total_seconds())


@dataclass
class _PhaseClock:
    """Adds up how long each phase takes; an event without a phase belongs to the one before."""

    phase: str = Phase.WAITING.value
    since: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    def enter(self, phase: str) -> None:
        if phase != self.phase:
            now = time.monotonic()
            self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + now - self.since
            self.phase, self.since = phase, now

    def times(self) -> list[PhaseTime]:
        self.enter("")
        return [PhaseTime(phase=phase, seconds=round(seconds, 3)) for phase, seconds in self.seconds.items() if phase]


class _Launch:
    """One try on one hub."""

    def __init__(self, hub: Hub, config: Config, ledger: Ledger, tell: Listener, interrupts: Interrupts) -> None:
        self._hub = hub
        self._config = config
        self._timeouts = config.timeouts
        self._kernel = config.settings.session.warm
        self._ledger = ledger
        self._tell = tell
        self._interrupts = interrupts
        self._clock = _PhaseClock()
        self._started = time.monotonic()
        self._deadline = self._started + self._timeouts.build.total_seconds()
        self._is_built = False
        self._may_be_left = _MAY_BE_LEFT if hub.launches_on_its_own else ""

    def run(self, spec: RepositorySpec) -> Session:
        launched_at = datetime.now(UTC)
        stream = self._hub.launch(spec)
        try:
            with stream:
                event = self._await_ready(stream)
            return self._prove(self._session(event, spec, launched_at))
        except BaseException as error:
            if late := stream.late_ready():
                self._discard(self._session(late, spec, launched_at), error)
            raise
        finally:
            self._interrupts.left_behind = ""
            if self._hub.launches_left:
                self._tell(self._hub.launches_left)

    def _session(self, event: Event, spec: RepositorySpec, launched_at: datetime) -> Session:
        return session_from_ready(
            event, hub=self._hub.url, spec=spec, launched_at=launched_at, phases=self._clock.times()
        )

    def _await_ready(self, stream: EventStream) -> Event:
        """Hear the stream out to `ready`, by the deadlines."""
        while True:
            try:
                events = stream.take(_TAKE_S)
            except ClinderError as error:
                if self._is_built:
                    error.hint = f"{error.hint} {self._may_be_left}".strip()
                raise
            if events is None:
                raise LaunchRetryError(
                    f"{self._hub.url} ended the stream before the session was ready",
                    hint=self._may_be_left if self._is_built else "",
                )
            has_told = False
            for event in events:
                self._tell(event)
                has_told = True
                if event.phase is Phase.READY:
                    return event
                if event.phase is Phase.FAILED:
                    raise self._failure(event, events, stream)
                self._note_phase(event.phase)
            if has_told:
                self._tell(CaughtUp())
            self._check_time(stream)

    def _note_phase(self, phase: Phase | None) -> None:
        if phase is None or phase is Phase.UNKNOWN or phase.value == self._clock.phase:
            return
        self._clock.enter(phase.value)
        if phase in (Phase.BUILT, Phase.LAUNCHING) and not self._is_built:
            self._is_built = True
            self._deadline = time.monotonic() + self._timeouts.launch.total_seconds()
            if self._may_be_left:
                self._interrupts.left_behind = f"A session may be left on {self._hub.url}. {_MAY_BE_LEFT}"

    def _check_time(self, stream: EventStream) -> None:
        now = time.monotonic()
        if self._interrupts.requested is not None:
            if not self._is_built:
                raise self._interrupts.error("interrupted before the image was built: no session was started")
            if now >= self._interrupts.requested_at + self._timeouts.stop.total_seconds():
                raise self._interrupts.error(
                    f"interrupted while {self._hub.url} launched a session, which did not come up in time to stop it",
                    hint=self._may_be_left,
                )
        if stream.last_sign_at is None and now - self._started >= self._timeouts.connect.total_seconds():
            limit = self._config.describe("timeouts.connect")
            raise UnreachableError(f"{self._hub.url} does not answer in time: {limit}")
        if stream.last_sign_at is not None and now - stream.last_sign_at >= self._timeouts.silence.total_seconds():
            self._time_out("silence", "sent nothing")
        if now >= self._deadline:
            self._time_out("launch" if self._is_built else "build", "is not done")

    def _time_out(self, key: str, what: str) -> None:
        doing = "launching" if self._is_built else "building"
        raise TimedOutError(
            f"{self._hub.url} {what} in time while {doing}: {self._config.describe(f'timeouts.{key}')}",
            hint=self._may_be_left
            if self._is_built
            else "What the hub has built stays there: `clinder up` goes on from it.",
        )

    def _failure(self, event: Event, following: Iterator[Event] | None, stream: EventStream) -> ClinderError:
        """Make the error, allowing its text a moment: a hub may say `failed` first and why only then."""
        from clinder.hubs.binderhub import failure

        until = time.monotonic() + _FAILED_TEXT_S
        while following is not None:
            for item in following:
                self._tell(item)
                if item.phase is Phase.FAILED and item.message and not event.message:
                    event = item
            left = until - time.monotonic()
            if event.message or left <= 0:
                break
            try:
                following = stream.take(left)
            except ClinderError:
                break
        return failure(event, hub=self._hub.url, is_built=self._is_built)

    def _prove(self, session: Session) -> Session:
        """Record the session, then see that it answers and that its kernel starts; else stop it again."""
        from clinder.jupyter import JupyterServer

        self._interrupts.left_behind = f"The session {session.url} may be left running."
        started = time.monotonic()
        try:
            self._ledger.keep(session)
            with JupyterServer(session, connect=self._timeouts.connect) as server:
                self._interrupts.check()
                self._tell(Checking())
                server.await_answer(deadline=self._deadline, pause=self._interrupts.sleep)
                if self._kernel != "off":
                    self._tell(Checking(self._kernel))
                    server.warm(self._kernel, deadline=self._deadline, pause=self._interrupts.sleep)
            self._tell(Proven())
        except BaseException as error:  # also what a listener raises: a session in hand is not left behind
            self._discard(session, error)
            raise
        warmed = PhaseTime(phase="warming", seconds=round(time.monotonic() - started, 3))
        return session.model_copy(update={"phases": (*session.phases, warmed)})

    def _discard(self, session: Session, error: BaseException) -> None:
        """Stop a session that is no use; where that fails the error bears it, so that it is not lost."""
        from clinder.stopping import stop_session

        is_gone = True
        said = "The session was stopped." if isinstance(error, LaunchError) else ""
        try:
            if self._interrupts.is_repeated:
                raise self._interrupts.error("the session was left running")
            stop_session(session, timeouts=self._timeouts, pause=time.sleep)
        except ClinderError as second:
            is_gone = False
            said = f"{second.message}: stop it with `clinder stop`."
        if isinstance(error, ClinderError):
            error.hint = f"{error.hint} {said}".strip()
            error.session = None if is_gone else session
        with suppress(StateError):  # the error under way tells what happened, and may bear the session
            self._ledger.drop(session, is_gone=is_gone)
