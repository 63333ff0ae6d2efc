"""Random sequences of commands and failures, checked against a model of the hub and the state."""

from __future__ import annotations

import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clinder.config.loading import Config, load_config
from clinder.model.errors import ClinderError, InterruptedBySignalError, RefusedError, TimedOutError, UnreachableError
from clinder.model.events import Event, Message, Phase, Progress
from clinder.model.observation import Condition
from clinder.model.session import Session
from clinder.operations.context import RunContext
from clinder.operations.inspect import UpOptions, preview, status
from clinder.operations.lifecycle import down, forget, up
from clinder.operations.results import DownAction, UpAction
from clinder.state import State, StateFolder
from clinder.system.interrupts import Interrupts
from hub.cluster import Cluster, Launched, is_gone
from hub.forks import KILLED, Forks
from hub.servers import Connection, Handler, Request, event, stream

GONE = ["302", "404", "424", "403 HTML"]
UNREACHABLE = ["503", "500", "403 JSON", "200 HTML", "200 list", "cut", "reset"]
NO_END = 10**6
EXAMPLES, STEPS = settings().max_examples // 4, 12
PATIENT_S, MIXED_S, BRIEF_S = 30.0, 1.0, 0.1
"""Time limits: for what is sure to happen, for what may happen, and for what cannot happen."""
REFS = st.sampled_from(["main", "v2"])
REFUSALS: dict[str, Handler] = {
    "no server": lambda _request, connection: connection.html(503),
    "rate limit": lambda _request, connection: connection.html(429),
    "a web page": lambda _request, connection: connection.html(200),
    "a reset": lambda _request, connection: connection.reset(),
    "a failed build": stream(event("building", "x\n"), event("failed", "no\n")),
    "a failed launch": stream(event("built", "x\n"), event("failed", "no\n", status_code=500)),
    "an early end": stream(event("building", "x\n")),
    "an unusable session": stream(event("built", "x\n"), event("ready", "x\n", url="javascript:x", token="x")),
}


def do_nothing(_request: Request, _connection: Connection) -> None:
    pass


class CommandsAndFailures(RuleBasedStateMachine):
    """A user runs commands on one state folder while the hub and the sessions fail in random ways.

    Attributes:
        current: the URL of the session that must be recorded, if any.
        retired: the URLs of the sessions that must be recorded as retired.
        excused: the URLs of sessions that need not be recorded: the user forgot them, or clinder was killed while they
            were launching, and the next command reported that.
        unfinished: the process id of a launch that was killed and not reported yet, if any.
        messages: what the last command reported.
    """

    def __init__(self, cluster: Cluster, forks: Forks, scratch: Path) -> None:
        super().__init__()
        self.cluster, self.forks = cluster, forks
        self.cluster.sessions.clear()
        self.folder = StateFolder(Path(tempfile.mkdtemp(dir=scratch)) / ".clinder")
        self.current: str | None = None
        self.retired: set[str] = set()
        self.excused: set[str] = set()
        self.unfinished: int | None = None
        self.messages: list[str] = []

    # Commands, and their expected results

    @initialize(
        current=st.sampled_from([None, "running", "running", "404", "503", "cut"]),
        retired=st.sampled_from([None, None, "running", "404", "503"]),
    )
    def start_with(self, current: str | None, retired: str | None) -> None:
        if current:
            self.up("main", replace_it=False)
            self.newest.mode = current
        if retired:
            old = self.cluster.add("v0")
            self.folder.prepare()
            state = self.folder.read()
            self.folder.write(replace(state, retired=(Session(url=old.url, token=old.token),)))
            self.retired.add(old.url)
            old.mode = retired

    @rule(ref=REFS, replace_it=st.booleans())
    def up(self, ref: str, replace_it: bool) -> None:
        known, seen = len(self.cluster.sessions), self.condition
        is_kept = not replace_it and (seen is Condition.UNREACHABLE or (seen is Condition.RUNNING and self.ref == ref))
        planned = [step.action.value for step in preview(self.configured(ref), UpOptions(replace=replace_it)).steps]
        assert ("launch" in planned) is not is_kept
        try:
            result = up(self.configured(ref), self.context(), UpOptions(replace=replace_it))
        except UnreachableError:
            assert is_kept
            assert seen is Condition.UNREACHABLE
        else:
            assert replace_it or seen is not Condition.UNREACHABLE
            if is_kept:
                assert (result.action, result.session.url) == (UpAction.KEPT, self.current)
            else:
                self.replaced_by(result.session.url)
                assert result.action is (UpAction.LAUNCHED if seen in (None, Condition.GONE) else UpAction.REPLACED)
        self.stop_retired()
        self.check_unfinished_is_reported()
        assert len(self.cluster.sessions) == known + (not is_kept)

    @precondition(lambda self: self.condition is not Condition.UNREACHABLE)
    @rule(ref=REFS, refusal=st.sampled_from(sorted(REFUSALS)))
    def up_if_the_launch_fails(self, ref: str, refusal: str) -> None:
        self.cluster.build = REFUSALS[refusal]
        try:
            self.up_must_fail(ref)
        finally:
            self.cluster.build = None

    @precondition(lambda self: self.condition is not Condition.UNREACHABLE)
    @rule(ref=REFS, mode=st.sampled_from([*GONE, "503", "403 JSON", "cut"]))
    def up_if_the_session_never_answers(self, ref: str, mode: str) -> None:
        def spoil(_request: Request, _connection: Connection) -> None:
            self.newest.mode = mode

        if self.up_must_fail(ref, spoil, launch_s=BRIEF_S) and not is_gone(mode):
            self.retired.add(self.newest.url)

    @precondition(lambda self: self.all_can_be_stopped)
    @rule(ref=REFS, phase=st.sampled_from([Phase.BUILT, Phase.LAUNCHING]))
    def up_interrupted(self, ref: str, phase: Phase) -> None:
        interrupts = Interrupts()

        def interrupt(item: Event | Progress) -> None:
            if isinstance(item, Event) and item.phase is phase:
                interrupts.requested, interrupts.requested_at = signal.SIGINT, time.monotonic()

        def pause(_request: Request, connection: Connection) -> None:
            connection.wait(0.15)

        self.up_must_fail(ref, pause, kind=InterruptedBySignalError, interrupts=interrupts, on_event=interrupt)

    @rule()
    def down(self) -> None:
        wanted = [url for url in (*self.retired, self.current) if url]
        if self.current:
            self.retired.add(self.current)
            self.current = None
        hopeless = {url for url in wanted if not self.can_be_stopped(url)}
        there = {url for url in wanted if not is_gone(self.cluster.find(url).mode)} - hopeless
        try:
            result = down(self.configured("main"), self.context())
        except (UnreachableError, TimedOutError, RefusedError):
            assert hopeless
        else:
            assert not hopeless
            done = DownAction.STOPPED if there else DownAction.ALREADY_GONE if wanted else DownAction.NOTHING
            assert result.action is done
        self.retired = hopeless
        self.check_unfinished_is_reported()

    @rule()
    def status(self) -> None:
        seen = status(self.configured("main"))
        assert (seen.seen and seen.seen.condition) == self.condition
        assert (seen.session and seen.session.url) == self.current

    @precondition(lambda self: self.current or self.retired)
    @rule()
    def forget(self) -> None:
        dropped = forget(self.configured("main"), self.context())
        assert {session.url for session in dropped} == {url for url in (self.current, *self.retired) if url}
        self.excused |= {session.url for session in dropped}
        self.current, self.retired, self.unfinished = None, set(), None

    @rule(command=st.sampled_from(["up", "down"]), ref=REFS, step=st.integers(1, 110))
    def kill(self, command: str, ref: str, step: int) -> None:
        known = set(self.cluster.sessions)
        brief = self.folder.path.with_name("clinder.toml")
        brief.write_text(
            f'hub = "{self.cluster.url}"\nrepo = "org/name"\nref = "{ref}"\nretry = {{ attempts = 1 }}\n'
            f"timeouts = {{ launch = {BRIEF_S}, stop = {BRIEF_S} }}\n"
        )
        ended = self.forks.run(command, "--config", str(brief), kill_at=step)
        self.cluster.settle()
        assert ended.status in (KILLED, 0, 3, 5, 7, 8), ended.err
        state = self.folder.read()
        new = {self.cluster.sessions[name].url for name in set(self.cluster.sessions) - known}
        lost = (new & self.cluster.running) - named(state)
        assert len(lost) <= (state.pending is not None)
        forgotten = {url for url in (self.current, *self.retired) if url} - named(state)
        assert forgotten.isdisjoint(self.cluster.running), "the record of a running session was lost"
        self.excused |= lost
        self.current = state.session.url if state.session else None
        self.retired = {session.url for session in state.retired}
        self.unfinished = state.pending.process.pid if state.pending else None

    # Events outside clinder

    @precondition(lambda self: self.condition is Condition.RUNNING)
    @rule(mode=st.sampled_from(GONE))
    def session_is_culled(self, mode: str) -> None:
        self.find(self.current).mode = mode

    @precondition(lambda self: self.condition is Condition.RUNNING and not self.retired)
    @rule(mode=st.sampled_from(UNREACHABLE))
    def session_becomes_unreachable(self, mode: str) -> None:
        self.find(self.current).mode = mode

    @precondition(lambda self: self.condition is Condition.RUNNING and not self.retired)
    @rule(times=st.sampled_from([1, 2, NO_END]))
    def session_ignores_shutdown(self, times: int) -> None:
        self.find(self.current).survives = times

    @precondition(lambda self: not self.all_can_be_stopped)
    @rule()
    def sessions_recover(self) -> None:
        for known in self.cluster.sessions.values():
            if not is_gone(known.mode):
                known.mode, known.survives = "running", 0

    # Invariants

    @invariant()
    def the_state_matches_the_model(self) -> None:
        state = self.folder.read()
        assert (state.session.url if state.session else None) == self.current
        assert {session.url for session in state.retired} == self.retired

    @invariant()
    def every_running_session_is_recorded_or_excused(self) -> None:
        assert self.cluster.running <= named(self.folder.read()) | self.excused

    @invariant()
    def the_lock_is_free(self) -> None:
        assert not self.folder.is_locked()

    # The model

    @property
    def condition(self) -> Condition | None:
        """The condition of the recorded session, if any."""
        if self.current is None:
            return None
        mode = self.find(self.current).mode
        if mode == "running":
            return Condition.RUNNING
        return Condition.GONE if is_gone(mode) else Condition.UNREACHABLE

    @property
    def ref(self) -> str:
        return self.find(self.current).ref

    @property
    def newest(self) -> Launched:
        return list(self.cluster.sessions.values())[-1]

    def find(self, url: str | None) -> Launched:
        assert url is not None
        return self.cluster.find(url)

    def can_be_stopped(self, url: str) -> bool:
        known = self.cluster.find(url)
        return is_gone(known.mode) or (known.mode == "running" and known.survives < NO_END // 2)

    @property
    def all_can_be_stopped(self) -> bool:
        return all(self.can_be_stopped(url) for url in (self.current, *self.retired) if url)

    def stop_retired(self) -> None:
        self.retired = {url for url in self.retired if not self.can_be_stopped(url)}

    def replaced_by(self, url: str | None) -> None:
        if self.current and not is_gone(self.find(self.current).mode):
            self.retired.add(self.current)
        self.current = url

    def up_must_fail(
        self,
        ref: str,
        before_ready: Handler = do_nothing,
        *,
        launch_s: float = PATIENT_S,
        kind: type[ClinderError] = ClinderError,
        interrupts: Interrupts | None = None,
        on_event: object = None,
    ) -> bool:
        """Run `up` for a launch that must fail; return whether it was tried (a running session is kept)."""
        is_kept = self.condition is Condition.RUNNING and self.ref == ref
        self.cluster.before_ready = before_ready
        try:
            up(self.configured(ref, launch_s=launch_s), self.context(interrupts, on_event))
            assert is_kept, "the launch succeeded"
        except kind:
            assert not is_kept
        finally:
            self.cluster.before_ready = do_nothing
        if self.condition is Condition.GONE:
            self.current = None
        self.stop_retired()
        self.check_unfinished_is_reported()
        return not is_kept

    def check_unfinished_is_reported(self) -> None:
        if self.unfinished:
            assert any(f"(process {self.unfinished} of" in text and "never finished" in text for text in self.messages)
        self.unfinished = None

    def context(self, interrupts: Interrupts | None = None, on_event: object = None) -> RunContext:
        self.messages.clear()

        def listen(item: Event | Progress) -> None:
            if isinstance(item, Message):
                self.messages.append(item.text)
            if callable(on_event):
                on_event(item)

        return RunContext(on_event=listen, interrupts=interrupts or Interrupts(), lock_timeout_s=0)

    def configured(self, ref: str, *, launch_s: float = PATIENT_S) -> Config:
        """Load a configuration whose time limits are short for what cannot happen."""
        wanted = [known for known in self.cluster.sessions.values() if known.url in {self.current, *self.retired}]
        hopeless = [known for known in wanted if not self.can_be_stopped(known.url)]
        is_hopeless, is_mixed = bool(hopeless) or launch_s < PATIENT_S, len(hopeless) < len(wanted)
        stop_s = MIXED_S if is_hopeless and is_mixed else BRIEF_S if is_hopeless else PATIENT_S
        options: dict[str, object] = {"hub": self.cluster.url, "repo": "org/name", "ref": ref, "session.warm": "off"}
        options |= {"timeouts.stop": stop_s, "timeouts.launch": launch_s, "retry.attempts": 1}
        return load_config(options=options, environment={}, state_dir=self.folder.path)


def named(state: State) -> set[str]:
    return {session.url for session in (state.session, *state.retired) if session}


@pytest.mark.usefixtures("quick_polls")
def test_hub_and_state_agree_after_any_sequence(cluster: Cluster, forks: Forks, tmp_path: Path) -> None:
    class Here(CommandsAndFailures):
        def __init__(self) -> None:
            super().__init__(cluster, forks, tmp_path)

    run_state_machine_as_test(Here, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS))
