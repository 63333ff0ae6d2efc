"""Every `ready` stands for a session that runs: whatever else a hub says, each is recorded, stopped or handed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import Config
from clinder.hubs.event_stream import EventStream
from clinder.model.errors import BuildError, ClinderError, HubError, LaunchError, LaunchRetryError
from clinder.model.events import Event, Message, Phase, Progress
from clinder.operations.context import RunContext
from clinder.operations.lifecycle import up
from clinder.operations.oneshot import start
from clinder.output.log import LaunchLog
from clinder.state import StateFolder
from clinder.system.folders import PrivateFolder
from hub.servers import TOKEN, Connection, JupyterSession, Request, Server, event, in_turn, stream

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.state import State
    from hub.conftest import Heard

Configure = Callable[..., Config]
WAITING = event("waiting", "Waiting\n")
BUILT = event("built", "ok\n")
FAILED = event("failed", "no such package: nump\n")
NO_JSON = b"data: {{{\n\n"
TOO_LARGE = b"data: " + b"x" * (1024 * 1024 + 1) + b"\n\n"
STOPPED = "A session came up all the same, and was stopped."


@pytest.fixture
def second() -> Iterator[JupyterSession]:
    with JupyterSession("second") as server:
        yield server


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


def state(config: Config) -> State:
    return StateFolder(config.state_dir).read()


def warnings(heard: Heard) -> list[str]:
    return [item.text for item in heard.items if isinstance(item, Message) and item.warning]


# `failed`, then `ready`


@pytest.mark.parametrize(
    "pieces",
    [
        lambda ready: [WAITING + FAILED + ready],
        lambda ready: [WAITING, FAILED, 0.3, ready],
        lambda ready: [BUILT, event("failed"), 0.2, ready, 0.2, FAILED],
        lambda ready: [FAILED, 0.1, ready + NO_JSON],
    ],
    ids=["same piece", "later", "before the reason", "before noise"],
)
def test_a_session_that_is_ready_after_a_failure_is_stopped(
    hub: Server,
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    pieces: Callable[..., list[object]],
) -> None:
    hub.handler = stream(*pieces(session.ready()), "hold")  # type: ignore[arg-type]
    error = failure(configure(retry__attempts=1), context)
    assert "no such package: nump" in error.message
    assert STOPPED in error.hint
    assert error.session is None
    assert error.orphaned_sessions == 0
    assert session.was_shut_down
    assert not session.asked(f"{session.base}api/kernels")


def test_a_session_that_is_ready_after_a_failure_is_recorded_before_it_is_stopped(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(FAILED + session.ready(), "hold")
    recorded: list[list[str]] = []

    def shut_down(request: Request, connection: Connection) -> None:
        recorded.append([known.url for known in state(configure()).retired])
        del session.overrides["POST", "api/shutdown"]
        session.handler(request, connection)

    session.overrides["POST", "api/shutdown"] = shut_down
    with pytest.raises(BuildError):
        up(configure(), context)
    assert recorded == [[session.session_url]]
    left = state(configure())
    assert (left.session, left.retired, left.pending) == (None, (), None)


def test_a_session_that_is_ready_after_a_failure_and_cannot_be_stopped_stays_recorded(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    hub.handler = stream(FAILED + session.ready(), "hold")
    with pytest.raises(BuildError) as caught:
        up(configure(timeouts__stop=0.3), context)
    assert [known.url for known in state(configure()).retired] == [session.session_url]
    assert f"The session {session.session_url} may still run" in caught.value.hint
    assert "`clinder down` tries again." in caught.value.hint
    assert caught.value.session is None


def test_the_session_before_stays_when_another_is_ready_after_a_failure(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    hub.handler = stream(FAILED + second.ready(), "hold")
    with pytest.raises(BuildError):
        up(configure(ref="v2"), context)
    left = state(configure())
    assert left.session is not None
    assert (left.session.url, left.retired) == (session.session_url, ())
    assert second.was_shut_down
    assert not session.was_shut_down


def test_a_session_that_is_ready_after_a_failure_and_is_recorded_nowhere_is_handed_over(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    hub.handler = stream(FAILED + session.ready(), "hold")
    error = failure(configure(timeouts__stop=0.3), context)
    assert error.session is not None
    assert (error.session.url, error.session.token) == (session.session_url, TOKEN)


def test_of_two_sessions_that_cannot_be_stopped_both_are_handed_over(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, heard: Heard
) -> None:
    session.mode = second.mode = "503"
    hub.handler = stream(FAILED + session.ready() + second.ready(), "hold")
    error = failure(configure(timeouts__stop=0.3), RunContext(on_event=heard))
    assert error.session is not None
    assert error.session.url == session.session_url
    assert [f"{second.session_url}?token={TOKEN}" in text for text in warnings(heard)] == [True]


@pytest.mark.parametrize("bad", [{"url": "javascript:alert(1)"}, {"token": None}], ids=["url", "token"])
def test_a_session_that_is_ready_after_a_failure_and_cannot_be_reached_is_counted(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, bad: dict[str, object]
) -> None:
    hub.handler = stream(FAILED + session.ready(**bad), "hold")
    with pytest.raises(BuildError) as caught:
        up(configure(), context)
    assert caught.value.orphaned_sessions == 1
    assert "A session may be left on" in caught.value.hint
    assert state(configure()).pending is not None, "the next command tells of it"


def test_a_failed_try_whose_session_was_stopped_is_followed_by_another(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, heard: Heard
) -> None:
    broken = event("failed", "no\n", status_code=500)
    says_it_again = event("launching", f"not {TOKEN}\n")
    hub.handler = in_turn(stream(BUILT + broken + session.ready()), second.launch(says_it_again))
    made = start(configure(retry__attempts=2), RunContext(on_event=heard))
    assert made.url == second.session_url
    assert session.was_shut_down
    assert not second.was_shut_down
    assert TOKEN not in "".join(event.message for event in heard.events), "nor that of the try before"


def test_a_session_of_a_try_before_that_cannot_be_stopped_is_handed_over(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, heard: Heard
) -> None:
    session.mode = "503"
    broken = event("failed", "no\n", status_code=500)
    hub.handler = in_turn(stream(BUILT + broken + session.ready()), second.launch())
    start(configure(retry__attempts=2, timeouts__stop=0.3), RunContext(on_event=heard))
    assert [f"{session.session_url}?token={TOKEN}" in text for text in warnings(heard)] == [True]


# Several, and others that come at odd times


def test_of_two_sessions_the_first_is_used_and_the_second_stopped(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, heard: Heard
) -> None:
    hub.handler = stream(BUILT + session.ready() + second.ready(), "hold")
    result = up(configure(), RunContext(on_event=heard))
    assert result.session.url == session.session_url
    assert not session.was_shut_down
    assert second.was_shut_down
    left = state(configure())
    assert left.session is not None
    assert (left.session.url, left.retired, left.pending) == (session.session_url, (), None)
    said = f"{hub.url} launched a second session, {second.session_url}, which was stopped"
    assert said in [item.text for item in heard.items if isinstance(item, Message)]


def test_a_second_session_that_cannot_be_stopped_stays_recorded_beside_the_first(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, heard: Heard
) -> None:
    second.mode = "503"
    hub.handler = stream(BUILT + session.ready() + second.ready(), "hold")
    up(configure(timeouts__stop=0.3), RunContext(on_event=heard))
    left = state(configure())
    assert left.session is not None
    assert (left.session.url, [known.url for known in left.retired]) == (session.session_url, [second.session_url])
    [warning] = warnings(heard)
    assert f"The session {second.session_url} may still run" in warning
    assert TOKEN not in warning


def test_if_the_first_session_is_no_use_both_are_stopped(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.kernel = lambda channels: channels.status("dead")
    hub.handler = stream(BUILT + session.ready() + second.ready(), "hold")
    with pytest.raises(LaunchError) as caught:
        up(configure(), context)
    assert session.was_shut_down
    assert second.was_shut_down
    left = state(configure())
    assert (left.session, left.retired, left.pending) == (None, (), None)
    assert "The session was stopped." in caught.value.hint


def test_a_session_that_is_ready_twice_is_one(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(BUILT + session.ready() + session.ready(), "hold")
    assert start(configure(), context).url == session.session_url
    assert not session.was_shut_down


def test_a_failure_after_ready_does_not_matter_where_the_session_works(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(BUILT + session.ready() + FAILED, "hold")
    assert start(configure(), context).url == session.session_url
    assert not session.was_shut_down


@pytest.mark.parametrize("noise", [NO_JSON, TOO_LARGE], ids=["no JSON", "too large"])
def test_a_session_is_used_though_what_follows_in_the_same_piece_cannot_be_read(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, noise: bytes
) -> None:
    hub.handler = stream(BUILT, session.ready() + noise, "hold")
    assert start(configure(), context).url == session.session_url


def test_a_session_behind_an_event_that_cannot_be_read_is_stopped(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(BUILT + NO_JSON + session.ready(), "hold")
    error = failure(configure(), context)
    assert isinstance(error, HubError)
    assert session.was_shut_down
    assert error.orphaned_sessions == 0
    assert STOPPED in error.hint


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.BUILT, Phase.READY])
def test_a_listener_that_fails_leaves_no_session(
    hub: Server, session: JupyterSession, configure: Configure, phase: Phase
) -> None:
    def broken(item: Event | Progress) -> None:
        if isinstance(item, Event) and item.phase is phase:
            raise RuntimeError("the listener")

    hub.handler = stream(WAITING + BUILT + session.ready(), "hold")
    with pytest.raises(RuntimeError, match="the listener"):
        start(configure(), RunContext(on_event=broken))
    assert session.was_shut_down


def test_a_session_that_a_failing_listener_leaves_and_that_cannot_be_stopped_is_handed_over(
    hub: Server, session: JupyterSession, configure: Configure
) -> None:
    told: list[str] = []

    def broken(item: Event | Progress) -> None:
        if isinstance(item, Event):
            raise RuntimeError("the listener")
        told.extend([item.text] if isinstance(item, Message) else [])

    session.mode = "503"
    hub.handler = stream(BUILT + session.ready(), "hold")
    with pytest.raises(RuntimeError, match="the listener"):
        start(configure(timeouts__stop=0.3), RunContext(on_event=broken))
    assert [f"{session.session_url}?token={TOKEN}" in text for text in told] == [True]


def test_a_session_that_is_ready_when_the_stream_was_left_already_is_stopped(
    hub: Server,
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream is left at the moment at which it times out; what comes then waits to be taken."""
    leave = EventStream.__exit__

    def leave_late(events: EventStream, *exception: object) -> None:
        hub.connections[0].send(session.ready())
        with events._changed:
            events._changed.wait_for(lambda: events._batches, 3)
        leave(events, *exception)  # type: ignore[arg-type]

    monkeypatch.setattr(EventStream, "__exit__", leave_late)
    hub.handler = stream(BUILT, "hold", is_chunked=False)
    error = failure(configure(timeouts__launch=0.3), context)
    assert error.exit_status == 7
    assert session.was_shut_down
    assert error.orphaned_sessions == 0


# What is said of it


@pytest.mark.parametrize(
    "pieces",
    [
        lambda ready: [event("failed", f"see {TOKEN}\n") + ready],
        lambda ready: [event("failed", f"see {TOKEN}\n"), 0.3, ready],
        lambda ready: [event("failed"), 0.1, ready, 0.1, event("failed", f"see {TOKEN}\n")],
        lambda ready: [event("failed", f"see https://h/?token={TOKEN} and /x?a=b&token={TOKEN}#c\n")],
        lambda ready: [event("building", f"token={TOKEN}\n".replace("token", "?token")) + FAILED + ready],
        lambda ready: [event("built", f"see {TOKEN}\n", imageName=f"r/{TOKEN}:1") + FAILED + ready],
    ],
    ids=["same piece", "before", "after", "by its place in a URL", "in the log", "in an image"],
)
def test_a_token_that_the_hub_repeats_is_neither_said_nor_logged(
    hub: Server,
    session: JupyterSession,
    configure: Configure,
    heard: Heard,
    tmp_path: Path,
    pieces: Callable[..., list[object]],
) -> None:
    hub.handler = stream(*pieces(session.ready()), "hold")  # type: ignore[arg-type]
    log = LaunchLog(PrivateFolder(tmp_path / "logs"))

    def on_event(item: Event | Progress) -> None:
        heard(item)
        log(item)

    with pytest.raises(ClinderError) as caught:
        start(configure(), RunContext(on_event=on_event))
    log.close()
    said = [f"{item.message} {item.image} {item.progress}" for item in heard.events]
    assert log.path is not None
    assert TOKEN not in "".join([*said, log.path.read_text(), caught.value.message, caught.value.hint])


def test_a_token_that_the_hub_repeats_before_ready_in_the_same_piece_is_not_said(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    hub.handler = stream(BUILT + event("launching", f"its token is {TOKEN}\n") + session.ready())
    start(configure(), RunContext(on_event=heard))
    assert [item.message for item in heard.events][1] == "its token is ***\n"


def test_a_token_in_the_facts_of_a_session_is_left_out(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    facts = {"image": f"r/{TOKEN}:1", "binder_ref_url": f"https://h/tree/{TOKEN}"}
    hub.handler = session.launch(**facts, binder_persistent_request=f"v2/gh/org/name/{TOKEN}")
    made = start(configure(), context)
    assert (made.image, made.ref_url, made.resolved_ref) == ("r/***:1", "https://h/tree/***", "")
    assert made.token == TOKEN


def test_a_session_that_is_handed_over_is_not_so_in_the_log(
    hub: Server, session: JupyterSession, second: JupyterSession, configure: Configure, tmp_path: Path
) -> None:
    session.mode = second.mode = "503"
    hub.handler = stream(FAILED + session.ready() + second.ready(), "hold")
    log = LaunchLog(PrivateFolder(tmp_path / "logs"))
    failure(configure(timeouts__stop=0.3), RunContext(on_event=log))
    log.close()
    assert log.path is not None
    logged = log.path.read_text()
    assert f"{second.session_url}?token=***" in logged
    assert TOKEN not in logged


def test_a_stream_that_is_retried_counts_what_it_may_have_left(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    broken = event("failed", "no\n", status_code=500)
    hub.handler = stream(BUILT + broken + session.ready(token=None))
    error = failure(configure(retry__attempts=3), context)
    assert isinstance(error, LaunchRetryError)
    assert error.orphaned_sessions == 3
    assert "3 sessions may be left on" in error.hint
