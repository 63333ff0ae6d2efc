"""From a request to a session that works: asks the hubs of the list, keeps the deadlines, tries again.

Sessions are recorded by the caller, through a `SessionRecorder`, before anything else is done with them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from clinder.hubs import open_hub
from clinder.hubs.failures import failure
from clinder.hubs.selection import HubList, combine, describe_orphans
from clinder.model.errors import (
    ClinderError,
    LaunchError,
    LaunchRetryError,
    StateError,
    TimedOutError,
    UnreachableError,
)
from clinder.model.events import Attempt, BatchEnd, Event, Message, Phase, Retrying, Verified, Verifying
from clinder.model.phases import PhaseClock
from clinder.model.session import PhaseTime, Session
from clinder.model.session_sources import session_from_ready
from clinder.net.loopback import exposure
from clinder.operations.probe import stop_session
from clinder.system.redact import without_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clinder.config.loading import Config
    from clinder.hubs import Hub
    from clinder.hubs.event_stream import EventStream
    from clinder.model.events import Listener, Progress
    from clinder.model.repository import RepositorySpec
    from clinder.operations.context import RunContext
    from clinder.system.interrupts import Interrupts

_TAKE_S = 0.1
_FAILED_TEXT_S = 1.0
"""How long the text of a failure may take to arrive after a bare `failed` (measured: at once, or never)."""


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

    def discard(self, session: Session, *, is_gone: bool) -> bool:
        """Take a session back that turned out to be no use; `is_gone` says whether it was seen to end.

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

    def discard(self, session: Session, *, is_gone: bool) -> bool:
        """Record nothing."""
        return False


def launch(config: Config, context: RunContext, recorder: SessionRecorder) -> Session:
    """Launch a session on the first hub of the list that gives one.

    Args:
        config: declares hubs, repository spec, timeouts, retries and the kernel to warm.
        context: who hears events and notices, which signals count, what is known of the hubs.
        recorder: records the session as soon as it is there.

    Returns:
        The session, answering with its token, its kernel proven.

    Raises:
        ClinderError: of the kind of the last failure; its message names every hub that was tried or passed over.
        InterruptedBySignalError: a signal came; a session that was already on its way has been stopped.
    """
    spec, retry, timeouts = config.spec(), config.settings.retry, config.timeouts
    on_event, interrupts, build_token = context.on_event, context.interrupts, context.build_token
    built_by = time.monotonic() + timeouts.build.total_seconds()
    hubs = HubList(
        config.hubs,
        open_hub=lambda url: open_hub(url, timeouts, build_token=build_token),
        recall=context.recall,
        look_s=timeouts.connect.total_seconds() / 2,
        on_event=on_event,
        interrupts=interrupts,
    )
    failures: list[tuple[str, ClinderError]] = []
    hub = hubs.choose()
    while True:
        recorder.pending(hub.url)
        on_event(Attempt(hub.url, spec, len(failures) + 1, retry.attempts))
        attempt = _Launch(hub, config, recorder, on_event, interrupts, built_by=built_by)
        try:
            return attempt.run(spec)
        except ClinderError as error:
            error.orphaned_sessions = attempt.orphaned_sessions
            failures.append((hub.url, error))
            hubs.note(hub, error)
            if not error.retryable or len(failures) >= retry.attempts:
                combine(failures, hubs.passed_over)
                raise
            hub = hubs.choose()
            pause_s = hubs.pause_s(hub.url, len(failures), retry)
            if time.monotonic() + pause_s >= built_by:
                limit = f"no time is left for another try: {config.describe('timeouts.build')}"
                combine(failures, hubs.passed_over, limit)
                raise
            if error.orphaned_sessions:
                on_event(Message(describe_orphans({failures[-1][0]: 1}), warning=True))
            on_event(Retrying(error.message, hub.url, pause_s))
        interrupts.sleep(pause_s)


def _shown(event: Event) -> Event:
    """Take the session's token out of the words in which the hub hands it over."""
    if event.phase is not Phase.READY:
        return event
    return replace(event, message=without_token(event.message, event.details.get("token")))


class _Launch:
    """One try on one hub.

    Attributes:
        orphaned_sessions: how many sessions (none or one) it may have left on the hub, that nobody has the token of.
    """

    def __init__(
        self,
        hub: Hub,
        config: Config,
        recorder: SessionRecorder,
        on_event: Listener,
        interrupts: Interrupts,
        *,
        built_by: float,
    ) -> None:
        self._hub = hub
        self._config = config
        self._timeouts = config.timeouts
        self._kernel = config.settings.session.warm
        self._recorder = recorder
        self._listener = on_event
        self._interrupts = interrupts
        self._clock = PhaseClock()
        self._started = time.monotonic()
        self._deadline = built_by
        self._is_built = False
        self._is_decided = False
        self._remark = ""
        self.orphaned_sessions = 0

    def run(self, spec: RepositorySpec) -> Session:
        launched_at = datetime.now(UTC)
        stream = self._hub.launch(spec)
        try:
            with stream:
                event = self._await_ready(stream)
            return self._prove(self._session(event, spec, launched_at))
        except BaseException as error:
            if self._is_built and not self._is_decided:
                self._may_leave_one()
            if late := stream.late_ready():
                with suppress(LaunchError):  # it cannot be used, nor stopped
                    session = self._session(late, spec, launched_at)
                    self.orphaned_sessions = 0
                    self._discard(session, error)
            raise
        finally:
            self._interrupts.possible_orphan = ""
            if self._hub.rate_limit:
                self._report(self._hub.rate_limit)

    def _report(self, item: Event | Progress) -> None:
        self._clock(item)
        self._listener(item)

    def _phases(self) -> tuple[PhaseTime, ...]:
        return tuple(
            PhaseTime(phase=phase, seconds=round(seconds, 3)) for phase, seconds in self._clock.times().items()
        )

    def _session(self, event: Event, spec: RepositorySpec, launched_at: datetime) -> Session:
        self._may_leave_one()  # as long as it cannot even be stopped
        session = session_from_ready(
            event, hub=self._hub.url, spec=spec, launched_at=launched_at, phases=self._phases()
        )
        self._remark = self._hub.vet(session.url)
        self.orphaned_sessions = 0
        return session

    def _may_leave_one(self) -> None:
        """Count the session that the hub launches though nobody listens any more."""
        self.orphaned_sessions = 1 if self._hub.continues_after_disconnect else 0

    def _await_ready(self, stream: EventStream) -> Event:
        """Hear the stream out to `ready`, by the deadlines."""
        while True:
            events = stream.receive(_TAKE_S)
            if events is None:
                raise LaunchRetryError(f"{self._hub.url} ended the stream before the session was ready")
            has_told = False
            for event in events:
                self._report(_shown(event))
                has_told = True
                self._is_decided = event.phase in (Phase.READY, Phase.FAILED)
                if event.phase is Phase.READY:
                    return event
                if event.phase is Phase.FAILED:
                    raise self._failure(event, events, stream)
                self._note_phase(event.phase)
            if has_told:
                self._report(BatchEnd())
            self._check_time(stream)

    def _note_phase(self, phase: Phase | None) -> None:
        if phase in (Phase.BUILT, Phase.LAUNCHING) and not self._is_built:
            self._is_built = True
            self._deadline = time.monotonic() + self._timeouts.launch.total_seconds()
            if self._hub.continues_after_disconnect:
                self._interrupts.possible_orphan = describe_orphans({self._hub.url: 1})

    def _check_time(self, stream: EventStream) -> None:
        now = time.monotonic()
        if self._interrupts.requested is not None:
            if not self._is_built:
                raise self._interrupts.error("interrupted before the image was built: no session was started")
            if now >= self._interrupts.requested_at + self._timeouts.stop.total_seconds():
                raise self._interrupts.error(
                    f"interrupted while {self._hub.url} launched a session, which did not come up in time to stop it"
                )
        if stream.last_sign_at is None and now - self._started >= self._timeouts.connect.total_seconds():
            limit = self._config.describe("timeouts.connect")
            raise UnreachableError(f"{self._hub.url} does not answer in time: {limit}")
        if stream.last_sign_at is not None and now - stream.last_sign_at >= self._timeouts.silence.total_seconds():
            self._time_out("silence", "sent nothing")
        if now >= self._deadline:
            self._time_out("launch" if self._is_built else "build", "is not done")

    def _time_out(self, key: str, what: str) -> None:
        doing, hint = "building", "What the hub has built stays there: `clinder up` goes on from it."
        if self._is_built:
            doing, hint = "launching", ""
        limit = self._config.describe(f"timeouts.{key}")
        raise TimedOutError(f"{self._hub.url} {what} in time while {doing}: {limit}", hint=hint)

    def _failure(self, event: Event, following: Iterator[Event] | None, stream: EventStream) -> ClinderError:
        """Make the error, allowing its text a moment: a hub may say `failed` first and why only then."""
        until = time.monotonic() + _FAILED_TEXT_S
        while following is not None:
            for item in following:
                self._report(item)
                if item.phase is Phase.FAILED and item.message and not event.message:
                    event = item
            left = until - time.monotonic()
            if event.message or left <= 0:
                break
            try:
                following = stream.receive(left)
            except ClinderError:
                break
        return failure(event, hub=self._hub.url, is_built=self._is_built)

    def _prove(self, session: Session) -> Session:
        """Record the session, then see that it answers and that its kernel starts; else stop it again."""
        from clinder.net.jupyter import JupyterServer  # imports requests

        self._interrupts.possible_orphan = f"The session {session.url} may be left running."
        try:
            self._recorder.record(session)
            if danger := exposure(session.url):
                self._report(Message(danger, warning=True))
            if self._remark:
                self._report(Message(self._remark))
            with JupyterServer(session, connect=self._timeouts.connect) as server:
                self._interrupts.check()
                self._report(Verifying())
                server.await_answer(deadline=self._deadline, pause=self._interrupts.sleep)
                if self._kernel != "off":
                    self._report(Verifying(self._kernel))
                    server.warm(self._kernel, deadline=self._deadline, pause=self._interrupts.sleep)
            self._report(Verified())
        except BaseException as error:  # also what a listener raises: a session in hand is not left behind
            self._discard(session, error)
            raise
        return replace(session, phases=self._phases())

    def _discard(self, session: Session, error: BaseException) -> None:
        """Stop a session that is no use; where that fails it stays recorded, or else the error bears it."""
        said = "The session was stopped." if isinstance(error, LaunchError) else ""
        failure: ClinderError | None = None
        try:
            if self._interrupts.is_repeated:
                raise self._interrupts.error("it was left at once")
            stop_session(session, timeouts=self._timeouts, pause=time.sleep)
        except ClinderError as second:
            failure = second
        is_kept = False
        with suppress(StateError):  # the error under way tells what happened, and bears the session
            is_kept = self._recorder.discard(session, is_gone=failure is None)
        if failure:
            how = "`clinder down` tries again." if is_kept else "Stop it with `clinder stop`."
            said = f"The session {session.url} may still run: {failure.message}. {how}"
        if isinstance(error, ClinderError):
            error.hint = f"{error.hint} {said}".strip()
            error.session = None if is_kept or failure is None else session
