from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from clinder.hubs.binderhub import HubReport
from clinder.model import errors
from clinder.model.errors import BuildError, ClinderError, InterruptedBySignalError, LockedError
from clinder.model.events import Attempt, BatchEnd, Event, LayerProgress, Message, Phase, Retrying, Verifying
from clinder.model.observation import Condition, Observation
from clinder.model.repository import RepositorySpec
from clinder.model.session import PhaseTime, Session
from clinder.operations.inspect import StatusResult
from clinder.operations.plan import Action, Desired, Drift, Plan, Step, find_drift, plan
from clinder.operations.results import DownAction, DownResult, UpAction, UpResult
from clinder.output.documents import (
    down_document,
    hub_document,
    plan_document,
    start_document,
    state_document,
    status_document,
    up_document,
)
from clinder.output.plain import PlainProgress, describe
from clinder.output.result import Result, show, show_error
from clinder.output.text import describe_origin, plan_text, state_text, status_text
from clinder.state import Pending, Process, State

NOW = datetime(2026, 11, 22, 18, 0, 0, 123456, tzinfo=UTC)
SESSION = Session(
    url="https://h/user/x/",
    token="hunter2",
    hub="https://mybinder.org",
    provider="gh",
    repo="org/name",
    ref="main",
    resolved_ref="e67fba914dc26d54ddd5ead705f9e792eb67d6a9",
    launched_at=NOW,
    phases=(PhaseTime(phase="waiting", seconds=1.5),),
)
PLACE = ["hub", "provider", "repo", "ref", "resolved_ref", "ref_url", "image", "launched_at", "ready_at", "phases"]
LOOK = ["state", "reason", "checked_at", "last_activity", "kernels", "connections", "drift", "pending", "retired"]
SEEN = Observation(Condition.RUNNING, None, NOW, last_activity="2026-11-22T17:59:00Z", kernels=1, connections=0)


def pending() -> Pending:
    process = Process(operation="up", user="me", host="here", pid=7, since=NOW)
    return Pending(hub="h", provider="gh", repo="org/name", ref="main", process=process)


# JSON: keys are only ever added


def test_the_keys_of_up() -> None:
    assert list(up_document(UpResult(UpAction.KEPT, "why", SESSION))) == ["action", "url", "token", "uri", *PLACE]


def test_the_keys_of_start() -> None:
    document = start_document(SESSION)
    assert list(document) == ["action", "url", "token", "uri", *PLACE]
    assert document["action"] == "launched"
    assert document["uri"] == "https://h/user/x/?token=hunter2"
    assert document["launched_at"] == "2026-11-22T18:00:00.123Z"
    assert document["phases"] == [{"phase": "waiting", "seconds": 1.5}]


@pytest.mark.parametrize("action", list(DownAction))
def test_the_keys_of_down_and_stop(action: DownAction) -> None:
    assert down_document(DownResult(action, SESSION)) == {"action": action.value, "url": SESSION.url}
    assert down_document(DownResult(action, None))["url"] is None


def test_the_keys_of_plan() -> None:
    decided = Plan((Step(Action.LAUNCH, "why"),))
    assert plan_document(decided) == {
        "changes": True,
        "steps": [{"action": "launch", "cause": "why"}],
        "obstacle": None,
    }


def test_the_keys_of_status() -> None:
    result = StatusResult(SESSION, SEEN, (Drift("ref", "v2", "main"),), State(pending=pending(), retired=(SESSION,)))
    document = status_document(result, with_token=False)
    assert list(document) == ["url", *PLACE, *LOOK]
    assert document["drift"] == [{"key": "ref", "declared": "v2", "running": "main"}]
    assert "hunter2" not in json.dumps(document)


def test_status_only_shows_the_token_on_request() -> None:
    document = status_document(StatusResult(SESSION, SEEN, (), State()), with_token=True)
    assert document["token"] == "hunter2"
    assert document["uri"] == SESSION.uri


def test_status_without_a_session_has_the_same_keys() -> None:
    document = status_document(StatusResult(None, None, (), State()), with_token=False)
    assert list(document) == ["url", *PLACE, *LOOK]
    assert (document["url"], document["state"]) == (None, "none")


def test_the_keys_of_state_show() -> None:
    document = state_document(State(session=SESSION, retired=(SESSION,)), with_token=False)
    assert list(document) == ["version", "serial", "lineage", "clinder_version", "session", "pending", "retired"]
    assert "hunter2" not in json.dumps(document)


def test_the_keys_of_hub_check() -> None:
    report = HubReport(True, True, {"binderhub": "1"}, [], ["gh"], None, "")
    assert list(hub_document("https://h", report, None)) == [
        "hub",
        "is_binderhub",
        "healthy",
        "versions",
        "checks",
        "providers",
        "rate_limit",
        "problem",
    ]


def test_json_begins_with_its_format_version(capsys: pytest.CaptureFixture[str]) -> None:
    show(Result({"a": 1}, text="text", messages=("message",)), as_json=True)
    out, err = capsys.readouterr()
    assert list(json.loads(out).items()) == [("format_version", 1), ("a", 1)]
    assert err == "message\n"


def test_text_goes_to_stdout_and_messages_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show(Result({"a": 1}, text="text", messages=("message",)), as_json=False)
    assert capsys.readouterr() == ("text\n", "message\n")


def test_quiet_suppresses_messages_but_not_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    show(Result({}, text="text", messages=("message",)), as_json=False, quiet=True)
    assert capsys.readouterr() == ("text\n", "")


# Errors


def test_each_error_has_its_exit_status() -> None:
    statuses = {
        name: kind.exit_status
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ClinderError)
    }
    assert statuses == {
        "ClinderError": 1,
        "UsageError": 2,
        "ConfigError": 2,
        "ConfigFileError": 2,
        "RefusedError": 3,
        "LockedError": 4,
        "BuildError": 5,
        "LaunchError": 5,
        "LaunchRetryError": 5,
        "NoSessionError": 6,
        "TimedOutError": 7,
        "HubError": 8,
        "UnreachableError": 8,
        "RateLimitedError": 8,
        "StateError": 9,
        "InterruptedBySignalError": 1,
        "LostSessionError": 6,
        "CommandNotFoundError": 127,
        "CommandNotExecutableError": 126,
    }


@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143), (1, 129)])
def test_an_interruption_has_the_exit_status_of_shells(number: int, status: int) -> None:
    assert InterruptedBySignalError(number, "x").exit_status == status


def test_only_errors_that_may_pass_are_retried() -> None:
    retryable = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ClinderError) and kind.retryable
    }
    assert retryable == {"LaunchRetryError", "UnreachableError", "RateLimitedError"}


def test_an_error_shows_its_message_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(BuildError("it broke", hint="Fix it."), as_json=False)
    assert capsys.readouterr() == ("", "clinder: it broke\n  Fix it.\n")


def test_an_error_as_json_has_kind_message_hint_and_any_session(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(ClinderError("x", hint="y", session=SESSION), as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["format_version"] == 1
    assert document["error"] == {"kind": "internal", "message": "x", "hint": "y"}
    assert document["session"]["token"] == "hunter2"


def test_an_error_without_json_prints_any_session(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(ClinderError("x", session=SESSION), as_json=False)
    assert SESSION.uri in capsys.readouterr().err


def test_text_from_a_hub_in_an_error_gives_no_ci_commands(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(BuildError("failed: \x1b[31mno\n::add-mask::x\n##[error]y"), as_json=False)
    assert capsys.readouterr().err == "clinder: failed: no\n  : :add-mask::x\n  ## [error]y\n"


# Text


def test_the_origin_of_a_session_is_one_phrase() -> None:
    assert describe_origin(SESSION) == "gh/org/name/main at e67fba914dc2 on https://mybinder.org"
    assert describe_origin(Session(url="https://h/", token="t")) == "started elsewhere"


def test_status_is_a_few_aligned_lines() -> None:
    recent = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    seen = Observation(Condition.RUNNING, None, NOW, last_activity=recent, kernels=1, connections=0)
    text = status_text(StatusResult(SESSION, seen, (Drift("ref", "v2", "main"),), State()))
    assert text.splitlines() == [
        "running      https://h/user/x/",
        "from         gh/org/name/main at e67fba914dc2 on https://mybinder.org",
        "idle         3m",
        "kernels      1",
        "connections  0",
        "drift        ref: declared v2, running main",
    ]


@pytest.mark.parametrize("stamp", [None, "", "yesterday", "2026-99-99", "2026-11-22T18:00:00"])
def test_an_invalid_last_activity_is_omitted_and_a_naive_one_is_utc(stamp: str | None) -> None:
    seen = Observation(Condition.RUNNING, None, NOW, last_activity=stamp)
    text = status_text(StatusResult(SESSION, seen, (), State()))
    assert ("idle" in text) is (stamp == "2026-11-22T18:00:00")


def test_status_text_does_not_show_the_token() -> None:
    assert "hunter2" not in status_text(StatusResult(SESSION, SEEN, (), State(retired=(SESSION,))))


def test_a_second_launch_reports_its_layers_again(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    pushed = Event(Phase.PUSHING, progress={"a": LayerProgress(1, 1), "b": LayerProgress(0, 2)})
    for number in (1, 2):
        progress(Attempt("https://h", RepositorySpec("gh", "o/n", "main"), number, 2))
        progress(pushed)
        progress(pushed)
    progress.close(succeeded=True)
    assert capsys.readouterr().err.count("1 of 2 layers pushed\n") == 2


def test_plain_progress_prefixes_every_line_with_its_phase(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    for item in (
        Attempt("https://h", RepositorySpec("gh", "o/n", "main"), 1, 3),
        Event(Phase.FETCHING, "Receiving 10%\r"),
        Event(Phase.FETCHING, "HEAD is now at 1\n"),
        Event(None, "one\n::set-env x=y\n"),
        Event(Phase.PUSHING, progress={"a": LayerProgress(1, 1), "b": LayerProgress(0, 2)}),
        Event(Phase.PUSHING, progress={"a": LayerProgress(1, 1), "b": LayerProgress(1, 2)}),
        BatchEnd(),
        Retrying("it broke", "https://h2", 5.25),
        Verifying("auto"),
        Message("mind this", warning=True),
    ):
        progress(item)
    progress.close(succeeded=True)
    assert capsys.readouterr().err.splitlines() == [
        "launching gh/o/n/main on https://h",
        "fetching  | HEAD is now at 1",
        "fetching  | one",
        "fetching  | : :set-env x=y",
        "pushing   | 1 of 2 layers pushed",
        "failed: it broke; retrying on https://h2 in 5.2s",
        "checking that a kernel starts",
        "warning: mind this",
    ]


# Records from an untrusted checkout

HOSTILE = "\x1b[31m\n::error::x\u202e##[error]\r" + "y" * 10_000
COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


def hostile_state() -> State:
    session = replace(
        SESSION,
        hub=HOSTILE,
        provider=HOSTILE,
        repo=HOSTILE,
        ref=HOSTILE,
        resolved_ref=HOSTILE,
        ref_url=HOSTILE,
        image=HOSTILE,
        phases=(PhaseTime(phase=HOSTILE, seconds=1.0),),
    )
    process = Process(operation=HOSTILE, user=HOSTILE, host=HOSTILE, pid=7, since=NOW)
    launch = Pending(hub=HOSTILE, provider=HOSTILE, repo=HOSTILE, ref=HOSTILE, process=process)
    return State(lineage=HOSTILE, clinder_version=HOSTILE, session=session, retired=(session,), pending=launch)


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def hostile_status() -> StatusResult:
    state = hostile_state()
    assert state.session is not None
    drift = find_drift(Desired(("https://mybinder.org",), RepositorySpec("gh", "org/name")), state.session)
    assert len(drift) == 3
    return StatusResult(state.session, replace(SEEN, reason=HOSTILE, last_activity=HOSTILE), tuple(drift), state)


def test_text_from_records_is_cleaned_and_cut_on_the_screen() -> None:
    decided = plan(None, hostile_state(), {SESSION.url: SEEN})
    for text in (state_text(hostile_state()), status_text(hostile_status()), plan_text(decided)):
        assert len(text.splitlines()) > 2
        assert text.replace("\n", "").isprintable()
        assert not COMMAND.search(text)
        assert max(len(line) for line in text.splitlines()) < 1100


def test_text_from_records_is_cleaned_and_cut_in_json() -> None:
    documents = (
        state_document(hostile_state(), with_token=True),
        status_document(hostile_status(), with_token=True),
        plan_document(plan(None, hostile_state(), {SESSION.url: SEEN})),
    )
    for document in documents:
        for text in texts(document):
            assert text.isprintable()
            assert not COMMAND.search(text)
            assert len(text) <= 4096


def test_the_holder_of_the_lock_is_shown_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pending = hostile_state().pending
    assert pending is not None
    PlainProgress()(Message(f"waiting for {pending.process}"))
    show_error(LockedError(f"x is locked by {pending.process}"), as_json=False)
    said = capsys.readouterr().err
    assert said.replace("\n", "").isprintable()
    assert not COMMAND.search(said)
    assert len(said) < 1000


@pytest.mark.parametrize("as_json", [False, True])
def test_a_long_message_is_cut(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    show_error(ClinderError("x" * 10**6, hint="y" * 10**6), as_json=as_json)
    show(Result({}, messages=("z" * 10**6,)), as_json=False)
    out, err = capsys.readouterr()
    assert len(err) < 70_000
    assert len(out) < 50_000


# Nothing is longer than somebody reads


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_of_megabytes_is_shown_in_part(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    error = ClinderError("the beginning " + "x" * 5_000_000 + " the end", hint="y" * 5_000_000)
    show_error(error, as_json=as_json)
    out, err = capsys.readouterr()
    assert len(err) < 50_000
    assert len(out) < 50_000
    assert "the beginning" in err
    assert "the end" in err


@pytest.mark.parametrize("notice", [Message("x" * 5_000_000, warning=True), Retrying("x" * 5_000_000, "h", 1)])
def test_a_notice_of_megabytes_is_shown_in_part(notice: Message | Retrying) -> None:
    assert len(describe(notice, verbose=False) or "") < 30_000
