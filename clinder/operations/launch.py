"""From a request to a session that works: asks the hubs of the list, keeps the deadlines, tries again.

Sessions are recorded by the caller, through a `SessionRecorder`, before anything else is done with them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
from clinder.system.redact import without_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clinder.config.loading import Config
    from clinder.hubs import Hub
    from clinder.hubs.event_stream import EventStream
    from clinder.model.events import Listener, Progress
    from clinder.model.repository import RepositorySpec
    from clinder.net.jupyter import JupyterServer
    from clinder.operations.context import RunContext
    from clinder.operations.recorder import SessionRecorder
    from clinder.system.interrupts import Interrupts

_TAKE_S = 0.1
_FAILED_TEXT_S = 1.0
"""How long the text of a failure may take to arrive after a bare `failed` (measured: at once, or never)."""


def launch(config: Config, context: RunContext, recorder: SessionRecorder) -> Session:
    """Launch a session on the first hub of the list that gives one.

    Args:
        config: declares hubs, repository spec, timeouts, retries and the kernel to warm.
        context: who hears events and notices, which signals count, what is known of the hubs.
        recorder: records the session as soon as it is there.

    Returns:
        The session, answering with its token, its kernel proven; or a warning was told that it could not be.

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
    tokens: list[object] = []
    hub = hubs.choose()
    while True:
        recorder.pending(hub.url)
        on_event(Attempt(hub.url, spec, len(failures) + 1, retry.attempts))
        attempt = _Launch(hub, config, recorder, on_event, interrupts, built_by=built_by, tokens=tokens)
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
                on_event(Message(describe_orphans({failures[-1][0]: error.orphaned_sessions}), warning=True))
            for text in attempt.not_stopped:
                on_event(Message(text, warning=True))
            on_event(Retrying(error.message, hub.url, pause_s))
        interrupts.sleep(pause_s)


class _Launch:
    """One try on one hub.

    Every `ready` of its stream stands for a session that runs. One of them may become the session of the launch; all
    others are recorded and stopped, whatever else happens.

    Args:
        built_by: when the image must be there, on the monotonic clock.
        tokens: of all sessions that any try came to know of; what the hub says is shown without them.

    Attributes:
        not_stopped: for each session that the error bears or tells of, a sentence that says what can be done about it.
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
        tokens: list[object],
    ) -> None:
        self._hub = hub
        self._config = config
        self._timeouts = config.timeouts
        self._kernel = config.settings.session.warm
        self._recorder = recorder
        self._listener = on_event
        self._interrupts = interrupts
        self._tokens = tokens
        self._clock = PhaseClock()
        self._launched_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._deadline = built_by
        self._is_built = False
        self._is_decided = False
        self._ready: list[Event] = []
        self._unusable = 0
        self._remarks: dict[str, str] = {}
        self.not_stopped: list[str] = []

    @property
    def orphaned_sessions(self) -> int:
        """How many sessions it may have left on the hub that nobody can stop."""
        comes_later = self._is_built and not self._is_decided
        return self._unusable + comes_later if self._hub.continues_after_disconnect else 0

    def run(self, spec: RepositorySpec) -> Session:
        others: list[Session] = []
        try:
            event = self._listen(self._hub.launch(spec))
            session = self._session(event, spec)
            others = self._other_sessions(spec, besides=session)
            proven = self._prove(session, others)
        except BaseException as error:
            others = others or self._other_sessions(spec)
            self._retire(others)
            for other in others:
                self._discard(other, error, stopped="A session came up all the same, and was stopped.")
            raise
        else:
            for other in others:
                said = f"{self._hub.url} launched a second session, {other.url}, which was stopped"
                self._discard(other, None, stopped=said)
            return proven
        finally:
            self._interrupts.possible_orphan = ""
            if self._hub.rate_limit:
                self._report(self._hub.rate_limit)

    def _listen(self, stream: EventStream) -> Event:
        """Hear the stream out to `ready`; whatever ends that, every `ready` that came is noted."""
        try:
            with stream:
                event = self._await_ready(stream)
        finally:
            self._note_ready(stream.late_ready())
        self._ready.remove(event)
        return event

    def _note_ready(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.phase is Phase.READY:
                self._ready.append(event)
                self._tokens.append(event.details.get("token"))
                self._is_decided = True

    def _report(self, item: Event | Progress) -> None:
        self._clock(item)
        self._listener(item)

    def _phases(self) -> tuple[PhaseTime, ...]:
        return tuple(
            PhaseTime(phase=phase, seconds=round(seconds, 3)) for phase, seconds in self._clock.times().items()
        )

    def _session(self, event: Event, spec: RepositorySpec) -> Session:
        try:
            session = session_from_ready(
                _without_own_token(event),
                hub=self._hub.url,
                spec=spec,
                launched_at=self._launched_at,
                phases=self._phases(),
            )
            self._remarks[session.url] = self._hub.vet(session.url)
        except LaunchError:
            self._unusable += 1  # it cannot even be stopped
            raise
        return session

    def _other_sessions(self, spec: RepositorySpec, *, besides: Session | None = None) -> list[Session]:
        """Make the sessions of the `ready` events that are left, each once."""
        sessions = {besides.url: besides} if besides else {}
        while self._ready:
            with suppress(LaunchError):
                session = self._session(self._ready.pop(0), spec)
                sessions.setdefault(session.url, session)
        return [session for session in sessions.values() if session is not besides]

    def _shown(self, event: Event) -> Event:
        """Take the tokens that are known out of what the hub says."""
        message, image = (without_tokens(text, self._tokens) for text in (event.message, event.image))
        if message == event.message and image == event.image:
            return event
        return replace(event, message=message, image=image)

    def _take(self, stream: EventStream, timeout_s: float) -> list[Event] | None:
        """Take the events that have come; every `ready` among them is noted before anything is done with any."""
        events = stream.receive(timeout_s)
        if events is None:
            return None
        taken = list(events)
        self._note_ready(taken)
        return taken

    def _await_ready(self, stream: EventStream) -> Event:
        """Hear the stream out to `ready`, by the deadlines."""
        while True:
            events = self._take(stream, _TAKE_S)
            if events is None:
                raise LaunchRetryError(f"{self._hub.url} ended the stream before the session was ready")
            for number, event in enumerate(events):
                if event.phase is Phase.FAILED:
                    self._is_decided = True
                    raise self._failure(events[number:], stream)
                self._report(self._shown(event))
                if event.phase is Phase.READY:
                    return event
                self._note_phase(event.phase)
            if events:
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

    def _failure(self, events: list[Event], stream: EventStream) -> ClinderError:
        """Make the error for a `failed` event, the first of these.

        More is listened to for a moment: a hub may say why only then, and it may say `ready` all the same. What it says
        is told after that, when the tokens in it are known.
        """
        until = time.monotonic() + _FAILED_TEXT_S
        while (left_s := until - time.monotonic()) > 0:
            try:
                following = self._take(stream, left_s)
            except ClinderError:
                break
            if following is None:
                break
            events += following
        for event in events:
            self._report(self._shown(event))
        failed = [event for event in events if event.phase is Phase.FAILED]
        explained = next((event for event in failed if event.message), failed[0])
        return failure(self._shown(explained), hub=self._hub.url, is_built=self._is_built)

    def _prove(self, session: Session, others: Iterable[Session]) -> Session:
        """Record the session, then see that it answers and that its kernel starts; else stop it again."""
        from clinder.net.jupyter import JupyterServer  # imports requests

        self._interrupts.possible_orphan = f"The session {session.url} may be left running."
        try:
            self._recorder.record(session)
            self._retire(others)
            if danger := exposure(session.url):
                self._report(Message(danger, warning=True))
            if remark := self._remarks[session.url]:
                self._report(Message(remark))
            with JupyterServer(session, connect=self._timeouts.connect) as server:
                self._interrupts.check()
                self._report(Verifying())
                server.await_answer(deadline=self._deadline, pause=self._interrupts.sleep)
                if self._kernel != "off":
                    self._check_kernel(server)
            self._report(Verified())
        except BaseException as error:  # also what a listener raises: a session in hand is not left behind
            self._discard(session, error, stopped="The session was stopped." if isinstance(error, LaunchError) else "")
            raise
        return replace(session, phases=self._phases())

    def _check_kernel(self, server: JupyterServer) -> None:
        self._report(Verifying(self._kernel))
        if doubt := server.warm(self._kernel, deadline=self._deadline, pause=self._interrupts.sleep):
            limit = f" ({self._config.describe('timeouts.launch')})" if time.monotonic() >= self._deadline else ""
            self._report(Message(f"{doubt}{limit}; the session is kept", warning=True))

    def _retire(self, sessions: Iterable[Session]) -> None:
        for session in sessions:
            with suppress(StateError):  # it is stopped all the same, and handed over where that fails
                self._recorder.retire(session)

    def _discard(self, session: Session, error: BaseException | None, *, stopped: str = "") -> None:
        """Stop a session that is no use; where that fails it stays recorded, or else is handed over.

        Args:
            session: which one.
            error: why the launch fails, if it does; it bears the session that is handed over.
            stopped: what is said where the session was stopped.
        """
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
        if failure is None:
            if isinstance(error, ClinderError):
                error.hint = f"{error.hint} {stopped}".strip()
            elif error is None:
                self._report(Message(stopped))
            return
        how = "`clinder down` tries again." if is_kept else "Stop it with `clinder stop`."
        said, with_uri = (
            f"The session {where} may still run: {failure.message}. {how}"
            for where in (session.url, session.url if is_kept else session.uri)
        )
        if isinstance(error, ClinderError) and (is_kept or error.session is None):
            error.hint = f"{error.hint} {said}".strip()
            error.session = error.session if is_kept else session
            self.not_stopped.append(with_uri)
        else:
            with suppress(Exception):  # a listener may be what failed
                self._report(Message(with_uri, warning=True))


def _without_own_token(event: Event) -> Event:
    """Take a session's token out of all that a hub says of the session, but for where it belongs."""
    token = event.details.get("token")
    details = {
        name: without_tokens(value, [token]) if isinstance(value, str) and name not in ("url", "token") else value
        for name, value in event.details.items()
    }
    return replace(event, image=without_tokens(event.image, [token]), details=details)
