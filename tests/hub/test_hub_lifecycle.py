"""The commands that use a state folder (up, down, status, plan, state), against real servers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pace import assert_took_under

from clinder.config.loading import Config
from clinder.model.errors import ClinderError, LockedError, NoSessionError, StateError, TimedOutError, UnreachableError
from clinder.model.events import Message
from clinder.model.observation import Condition
from clinder.model.session import Session
from clinder.operations.context import RunContext
from clinder.operations.inspect import UpOptions, preview, status
from clinder.operations.lifecycle import adopt, down, forget, up
from clinder.operations.results import DownAction, UpAction
from clinder.state import Pending, Process, State, StateFolder
from hub.servers import TOKEN, Connection, JupyterSession, Request, Server, event, play, stream

if TYPE_CHECKING:
    from hub.conftest import Heard

Configure = Callable[..., Config]
REPLACE = UpOptions(replace=True)


@pytest.fixture
def second() -> Iterator[JupyterSession]:
    with JupyterSession("y") as server:
        yield server


def folder(config: Config) -> StateFolder:
    return StateFolder(config.state_dir)


def recorded(config: Config) -> State:
    return folder(config).read()


def on_disk(config: Config) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((config.state_dir / "state.json").read_text())
    return document


def write(config: Config, state: State) -> None:
    folder(config).prepare()
    folder(config).write(state)


def urls(state: State) -> tuple[str | None, list[str]]:
    return (state.session.url if state.session else None, [retired.url for retired in state.retired])


# up


def test_the_first_up_launches_and_records_a_session(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    result = up(configure(), context)
    state = recorded(configure())
    assert result.action is UpAction.LAUNCHED
    assert urls(state) == (session.session_url, [])
    assert state.session is not None
    assert state.session.token == TOKEN
    assert state.pending is None


def test_a_session_running_as_declared_is_kept(hub: Server, configure: Configure, context: RunContext) -> None:
    made = up(configure(), context)
    again = up(configure(), context)
    assert (again.action, again.session) == (UpAction.KEPT, made.session)
    assert len(hub.requests) == 1


def test_keeping_a_session_writes_nothing(configure: Configure, context: RunContext) -> None:
    up(configure(), context)
    before = (configure().state_dir / "state.json").read_bytes()
    up(configure(), context)
    assert (configure().state_dir / "state.json").read_bytes() == before


def test_a_culled_session_is_launched_again(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    session.mode = "424"
    hub.handler = second.launch()
    assert up(configure(), context).action is UpAction.LAUNCHED
    assert urls(recorded(configure())) == (second.session_url, [])


def test_a_replacement_runs_before_the_old_session_is_stopped(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    hub.handler = second.launch()
    result = up(configure(ref="v2"), context)
    assert result.action is UpAction.REPLACED
    proven = max(request.at for request in second.requests)
    assert session.asked(f"{session.base}api/shutdown", "POST")[0].at > proven
    assert urls(recorded(configure())) == (second.session_url, [])


def test_the_old_session_stays_if_its_replacement_fails(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    hub.handler = stream(event("failed", "no such package\n"))
    with pytest.raises(ClinderError, match="no such package"):
        up(configure(ref="v2"), context)
    state = recorded(configure())
    assert urls(state) == (session.session_url, [])
    assert state.pending is None
    assert not session.was_shut_down


def test_the_old_session_stays_if_the_kernel_of_its_replacement_fails(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    hub.handler = second.launch()
    second.kernel = lambda channels: channels.status("dead")
    with pytest.raises(ClinderError, match="died while it started"):
        up(configure(ref="v2"), context)
    assert urls(recorded(configure())) == (session.session_url, [])
    assert second.was_shut_down
    assert not session.was_shut_down


def test_an_unusable_replacement_that_cannot_be_stopped_is_retired(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    hub.handler = second.launch()
    second.mode = "503"
    with pytest.raises(ClinderError):
        up(configure(ref="v2", timeouts__launch=0.5, timeouts__stop=0.3), context)
    assert urls(recorded(configure())) == (session.session_url, [second.session_url])


def test_no_second_session_is_launched_beside_an_unreachable_one(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    session.mode = "503"
    with pytest.raises(UnreachableError, match="so it may still be running") as caught:
        up(configure(), context)
    assert "--replace" in caught.value.hint
    assert len(hub.requests) == 1
    assert urls(recorded(configure())) == (session.session_url, [])


def test_replace_launches_a_session_and_retires_the_unreachable_one(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    session.mode = "503"
    hub.handler = second.launch()
    result = up(configure(timeouts__stop=0.3), context, REPLACE)
    assert result.action is UpAction.REPLACED
    assert urls(recorded(configure())) == (second.session_url, [session.session_url])


@pytest.mark.parametrize("answer", ["running", "404"])
def test_up_stops_retired_sessions(
    session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext, answer: str
) -> None:
    up(configure(), context)
    state = recorded(configure())
    write(configure(), replace(state, retired=(Session(url=second.session_url, token=TOKEN),)))
    second.mode = answer
    assert up(configure(), context).action is UpAction.KEPT
    assert urls(recorded(configure())) == (session.session_url, [])
    assert second.was_shut_down is (answer == "running")


def test_up_does_not_wait_for_an_unreachable_retired_session(
    session: JupyterSession, second: JupyterSession, configure: Configure, heard: Heard
) -> None:
    write(configure(), State(retired=(Session(url=second.session_url, token=TOKEN),)))
    second.mode = "503"
    began = time.monotonic()
    up(configure(timeouts__stop=30), RunContext(on_event=heard))
    assert_took_under(time.monotonic() - began, 10)  # up does not wait for it
    assert urls(recorded(configure())) == (session.session_url, [second.session_url])
    assert any(isinstance(item, Message) and item.warning and "tries again" in item.text for item in heard.items)


def test_an_unfinished_launch_is_reported_and_forgotten(configure: Configure, heard: Heard) -> None:
    pending = Pending(hub="h", provider="gh", repo="o/n", ref="main", process=Process.current("up"))
    write(configure(), State(pending=pending))
    up(configure(), RunContext(on_event=heard))
    assert any(isinstance(item, Message) and item.warning and "never finished" in item.text for item in heard.items)
    assert recorded(configure()).pending is None


def test_the_pending_launch_names_the_hub_that_is_asked(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    asked = []

    def look(request: Request, connection: Connection) -> None:
        pending = recorded(configure()).pending
        asked.append(pending and pending.hub)
        session.launch()(request, connection)

    with Server(lambda request, connection: connection.html(500)) as first:
        hub.handler = lambda request, connection: (
            look(request, connection) if request.path.startswith("/build") else connection.json(200, {"ok": True})
        )
        up(configure(hub=[first.url, hub.url], retry__attempts=2), context)
    assert asked == [hub.url]


# The order of writes and requests


def test_a_launch_is_recorded_as_pending_before_it_is_requested(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    seen: list[dict[str, Any]] = []
    launch = session.launch()

    def handle(request: Request, connection: Connection) -> None:
        seen.append(on_disk(configure()))
        launch(request, connection)

    hub.handler = handle
    up(configure(), context)
    assert seen[0]["pending"]["repo"] == "org/name"
    assert seen[0]["pending"]["process"]["operation"] == "up"
    assert seen[0]["session"] is None


def test_a_session_is_recorded_before_any_request_to_it(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    seen: list[dict[str, Any]] = []

    def handle(request: Request, connection: Connection) -> None:
        seen.append(on_disk(configure()))
        del session.overrides["GET", "api/status"]
        session.handler(request, connection)

    session.overrides["GET", "api/status"] = handle
    up(configure(), context)
    assert (seen[0]["session"]["url"], seen[0]["session"]["token"]) == (session.session_url, TOKEN)
    assert seen[0]["pending"] is None


def test_a_session_is_retired_before_it_is_asked_to_stop(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    seen: list[dict[str, Any]] = []
    up(configure(), context)

    def handle(request: Request, connection: Connection) -> None:
        seen.append(on_disk(configure()))
        del session.overrides["POST", "api/shutdown"]
        session.handler(request, connection)

    session.overrides["POST", "api/shutdown"] = handle
    down(configure(), context)
    assert seen[0]["session"] is None
    assert [retired["url"] for retired in seen[0]["retired"]] == [session.session_url]


def make_unwritable(config: Config) -> None:
    """Replace the state folder by a file, so that not even root can write there."""
    config.state_dir.rename(config.state_dir.with_name("moved"))
    config.state_dir.touch()


def launch_into_unwritable_state(hub: Server, session: JupyterSession, config: Config) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        def spoil(_connection: Connection) -> None:
            make_unwritable(config)

        play(connection, event("built", "ok\n"), spoil, session.ready())

    hub.handler = handle


def test_a_session_that_cannot_be_recorded_is_stopped(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    launch_into_unwritable_state(hub, session, configure())
    with pytest.raises(StateError, match="cannot be written") as caught:
        up(configure(), context)
    assert session.was_shut_down
    assert caught.value.session is None


def test_the_error_carries_a_session_neither_recorded_nor_stopped(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    launch_into_unwritable_state(hub, session, configure())
    with pytest.raises(StateError, match="cannot be written") as caught:
        up(configure(timeouts__stop=0.3), context)
    assert caught.value.session is not None
    assert (caught.value.session.url, caught.value.session.token) == (session.session_url, TOKEN)


def test_nothing_is_launched_if_the_state_cannot_be_written(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    configure().state_dir.touch()
    with pytest.raises(StateError):
        up(configure(), context)
    assert hub.requests == []


def test_a_damaged_state_launches_nothing_and_is_not_overwritten(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    folder(configure()).prepare()
    (configure().state_dir / "state.json").write_text("{")
    for command in (up, down):
        with pytest.raises(StateError, match="is damaged"):
            command(configure(), context)
    assert (configure().state_dir / "state.json").read_text() == "{"
    assert hub.requests == []


def test_nothing_is_launched_while_another_clinder_holds_the_lock(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    with (
        folder(configure()).locked("down", timeout_s=0, on_wait=lambda holder: None),
        pytest.raises(LockedError, match=r"is locked by clinder down \(process \d+"),
    ):
        up(configure(), context)
    assert hub.requests == []


# down


def test_down_stops_the_session_and_forgets_it(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    assert down(configure(), context).action is DownAction.STOPPED
    assert session.was_shut_down
    assert urls(recorded(configure())) == (None, [])


def test_down_without_a_state_folder_has_nothing_to_stop(configure: Configure, context: RunContext) -> None:
    assert down(configure(), context).action is DownAction.NOTHING
    assert not configure().state_dir.exists()


def test_a_second_down_has_nothing_to_stop(configure: Configure, context: RunContext) -> None:
    up(configure(), context)
    down(configure(), context)
    assert down(configure(), context).action is DownAction.NOTHING


def test_down_reports_a_session_that_is_already_gone(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    session.mode = "404"
    result = down(configure(), context)
    assert result.action is DownAction.ALREADY_GONE
    assert result.session is not None
    assert urls(recorded(configure())) == (None, [])


@pytest.mark.parametrize(("mode", "kind"), [("503", UnreachableError), ("running", TimedOutError)])
def test_a_session_not_confirmed_stopped_stays_recorded(
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    mode: str,
    kind: type[ClinderError],
) -> None:
    up(configure(), context)
    session.mode = session.after_shutdown = mode
    with pytest.raises(kind):
        down(configure(timeouts__stop=0.4), context)
    assert urls(recorded(configure())) == (None, [session.session_url])


def test_the_next_down_tries_again(session: JupyterSession, configure: Configure, context: RunContext) -> None:
    up(configure(), context)
    session.mode = "503"
    with pytest.raises(UnreachableError):
        down(configure(timeouts__stop=0.3), context)
    session.mode = "running"
    assert down(configure(), context).action is DownAction.STOPPED
    assert urls(recorded(configure())) == (None, [])


def test_down_stops_the_other_sessions_if_one_cannot_be_stopped(
    session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    state = recorded(configure())
    write(configure(), replace(state, retired=(Session(url=second.session_url, token=TOKEN),)))
    second.mode = "503"
    with pytest.raises(UnreachableError):
        down(configure(timeouts__stop=0.3), context)
    assert session.was_shut_down
    assert urls(recorded(configure())) == (None, [second.session_url])


# status, plan, adopt, forget


def test_status_without_a_session(configure: Configure) -> None:
    result = status(configure())
    assert (result.session, result.seen) == (None, None)
    assert not configure().state_dir.exists()


@pytest.mark.parametrize(
    ("mode", "condition"),
    [("running", Condition.RUNNING), ("404", Condition.GONE), ("503", Condition.UNREACHABLE)],
)
def test_status_shows_the_condition_and_changes_nothing(
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    mode: str,
    condition: Condition,
) -> None:
    up(configure(), context)
    before = on_disk(configure())
    session.mode = mode
    result = status(configure())
    assert result.seen is not None
    assert result.seen.condition is condition
    assert on_disk(configure()) == before


def test_status_reports_drift(configure: Configure, context: RunContext) -> None:
    up(configure(), context)
    drift = status(configure(ref="v2")).drift
    assert [(item.key, item.declared, item.running) for item in drift] == [("ref", "v2", "main")]


def test_status_does_not_count_as_activity(session: JupyterSession, configure: Configure, context: RunContext) -> None:
    up(configure(), context)
    session.requests.clear()
    status(configure())
    assert [request.path for request in session.requests] == [f"{session.base}api/status"]


def test_a_plan_shows_what_up_would_do_and_changes_nothing(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    assert [step.action.value for step in preview(configure()).steps] == ["launch"]
    assert not configure().state_dir.exists()
    up(configure(), context)
    assert [step.action.value for step in preview(configure()).steps] == ["keep"]
    assert [step.action.value for step in preview(configure(ref="v2")).steps] == ["launch", "stop"]
    assert len(hub.requests) == 1


def test_a_plan_does_not_forget_a_launch_in_progress(configure: Configure) -> None:
    pending = Pending(hub="h", provider="gh", repo="o/n", ref="main", process=Process.current("up"))
    write(configure(), State(pending=pending))
    with folder(configure()).locked("up", timeout_s=0, on_wait=lambda holder: None):
        assert [step.action.value for step in preview(configure()).steps] == ["launch"]
    assert [step.action.value for step in preview(configure()).steps] == ["forget", "launch"]


def test_up_keeps_an_adopted_session(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    adopt(configure(), context, Session(url=session.session_url, token=TOKEN))
    assert up(configure(), context).action is UpAction.KEPT
    assert hub.requests == []


@pytest.mark.parametrize(("mode", "kind"), [("404", NoSessionError), ("503", UnreachableError)])
def test_a_session_that_is_not_running_is_not_adopted(
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    mode: str,
    kind: type[ClinderError],
) -> None:
    session.mode = mode
    with pytest.raises(kind):
        adopt(configure(), context, Session(url=session.session_url, token=TOKEN))
    assert recorded(configure()).session is None


def test_no_second_session_is_adopted(second: JupyterSession, configure: Configure, context: RunContext) -> None:
    made = up(configure(), context)
    with pytest.raises(StateError, match="a session is already recorded"):
        adopt(configure(), context, Session(url=second.session_url, token=TOKEN))
    assert recorded(configure()).session == made.session


def test_up_keeps_a_retired_session_that_was_adopted_again(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    again = Session(url=session.session_url, token=TOKEN)
    write(configure(), State(retired=(again,)))
    adopt(configure(), context, again)
    assert up(configure(), context).action is UpAction.KEPT
    assert urls(recorded(configure())) == (session.session_url, [])
    assert not session.was_shut_down


def test_one_of_several_sessions_can_be_forgotten(
    second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    made = up(configure(), context).session
    lost = Session(url=second.session_url, token=TOKEN)
    write(configure(), replace(recorded(configure()), retired=(lost,)))
    assert forget(configure(), context, lost.uri) == [lost]
    assert urls(recorded(configure())) == (made.url, [])
    with pytest.raises(NoSessionError, match="no session is recorded at that URL"):
        forget(configure(), context, lost.url)


def test_a_forgotten_session_keeps_running(session: JupyterSession, configure: Configure, context: RunContext) -> None:
    made = up(configure(), context)
    assert forget(configure(), context) == [made.session]
    assert urls(recorded(configure())) == (None, [])
    assert not session.was_shut_down


def test_neither_logs_nor_lock_contain_the_token(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    for path in Path(configure().state_dir).rglob("*"):
        if path.is_file() and not path.name.startswith("state.json"):
            assert TOKEN not in path.read_text()
