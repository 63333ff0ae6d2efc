"""The session behind `ready`: does it answer, does its kernel start, is it gone, does it end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from clinder.config.loading import Config
from clinder.model.errors import (
    ClinderError,
    InterruptedBySignalError,
    LaunchError,
    RefusedError,
    TimedOutError,
    UnreachableError,
)
from clinder.model.observation import Condition
from clinder.model.session import Session
from clinder.net import jupyter
from clinder.operations.context import RunContext
from clinder.operations.oneshot import start, stop
from clinder.operations.probe import observe_session
from clinder.operations.results import DownAction
from clinder.system.interrupts import Interrupts
from hub.servers import (
    DEATHS,
    TOKEN,
    Connection,
    Handler,
    JupyterSession,
    Request,
    Server,
    eventually,
    in_turn,
    refused_url,
)

Configure = Callable[..., Config]


def recorded(session: JupyterSession, token: str = TOKEN) -> Session:
    return Session(url=session.session_url, token=token, hub="https://hub.example.org")


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


# Looking


def test_a_running_session_tells_of_its_idleness_and_kernels(session: JupyterSession, configure: Configure) -> None:
    session.kernels = {"k0": True}
    seen = observe_session(recorded(session), timeouts=configure().timeouts)
    assert seen.condition is Condition.RUNNING
    assert (seen.kernels, seen.connections) == (1, 0)
    assert seen.last_activity == "2026-11-22T18:00:00.000000Z"


@pytest.mark.parametrize(
    ("mode", "condition"),
    [
        ("302", Condition.GONE),
        ("404", Condition.GONE),
        ("424", Condition.GONE),
        ("403 HTML", Condition.GONE),
        ("403 JSON", Condition.UNREACHABLE),
        ("503", Condition.UNREACHABLE),
        ("500", Condition.UNREACHABLE),
        ("200 HTML", Condition.UNREACHABLE),
        ("200 list", Condition.UNREACHABLE),
        ("silence", Condition.UNREACHABLE),
        ("cut", Condition.UNREACHABLE),
        ("reset", Condition.UNREACHABLE),
    ],
)
def test_what_a_dead_session_answers_says_whether_it_is_gone(
    session: JupyterSession, configure: Configure, mode: str, condition: Condition
) -> None:
    session.mode = mode
    seen = observe_session(recorded(session), timeouts=configure(timeouts__connect=0.3).timeouts)
    assert seen.condition is condition
    assert seen.reason


def test_a_refused_connection_does_not_mean_that_a_session_is_gone(configure: Configure) -> None:
    with refused_url() as url:
        seen = observe_session(Session(url=f"{url}/", token=TOKEN), timeouts=configure().timeouts)
    assert seen.condition is Condition.UNREACHABLE


def test_a_wrong_token_is_told_from_a_session_that_is_gone(session: JupyterSession, configure: Configure) -> None:
    seen = observe_session(recorded(session, "wrong"), timeouts=configure().timeouts)
    assert (seen.condition, seen.reason) == (Condition.UNREACHABLE, "the server answers, but refuses the token")


def test_no_redirect_of_a_session_is_followed(session: JupyterSession, configure: Configure) -> None:
    with Server() as elsewhere:
        session.overrides["GET", "*"] = lambda _request, connection: connection.html(302, Location=elsewhere.url)
        observe_session(recorded(session), timeouts=configure().timeouts)
        assert elsewhere.requests == []
    assert len(session.requests) == 1


@pytest.mark.parametrize("location", ["http://[bad", "", "ftp://x", "http://a..b/", "\x1b"])
def test_a_redirect_to_nowhere_still_means_gone(session: JupyterSession, configure: Configure, location: str) -> None:
    session.overrides["GET", "*"] = lambda _request, connection: connection.html(302, Location=location)
    assert observe_session(recorded(session), timeouts=configure().timeouts).condition is Condition.GONE


@pytest.mark.parametrize("status", [200, 302, 403, 404])
def test_an_answer_that_drips_for_ever_is_left_in_time(
    session: JupyterSession, configure: Configure, status: int
) -> None:
    def drip(_request: Request, connection: Connection) -> None:
        connection.head(status, "application/json", Location="/hub/", Content_Length="100000")
        for _ in range(100_000):
            connection.send(b" ")
            connection.wait(0.05)

    session.overrides["GET", "*"] = drip
    began = time.monotonic()
    seen = observe_session(recorded(session), timeouts=configure(timeouts__connect=0.4).timeouts)
    assert time.monotonic() - began < 3
    assert seen.condition is not Condition.RUNNING


@pytest.mark.parametrize(
    "status",
    [{}, {"kernels": "many", "connections": -1, "last_activity": 5}, {"kernels": True, "connections": 1.5}],
)
def test_odd_numbers_in_a_status_are_left_out(session: JupyterSession, configure: Configure, status: object) -> None:
    session.overrides["GET", "api/status"] = lambda _request, connection: connection.json(200, status)
    seen = observe_session(recorded(session), timeouts=configure().timeouts)
    assert seen.condition is Condition.RUNNING
    assert (seen.kernels, seen.connections, seen.last_activity) == (None, None, None)


def test_an_endless_answer_is_read_no_further_than_a_mebibyte(session: JupyterSession, configure: Configure) -> None:
    sent: list[int] = []

    def flood(_request: Request, connection: Connection) -> None:
        connection.head(200, "application/json")
        for _ in range(1000):
            connection.send(b" " * 65536)
            sent.append(65536)

    session.overrides["GET", "*"] = flood
    observe_session(recorded(session), timeouts=configure().timeouts)
    eventually(lambda: not session.connections or session.connections[0].is_left(), "the client left")
    assert sum(sent) < 32 * 1024 * 1024


def test_the_token_travels_in_the_authorization_header_alone(
    session: JupyterSession, hub: Server, configure: Configure, context: RunContext
) -> None:
    made = start(configure(), context)
    stop(made, configure(), context)
    assert session.requests
    for request in session.requests:
        assert request.headers["authorization"] == f"token {TOKEN}"
        assert TOKEN not in request.target
        assert TOKEN not in str({name: value for name, value in request.headers.items() if name != "authorization"})
    assert TOKEN not in str(hub.requests)


def test_credentials_of_netrc_are_not_sent(
    session: JupyterSession,
    hub: Server,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    start(configure(), context)
    assert "authorization" not in hub.requests[0].headers
    assert {request.headers["authorization"] for request in session.requests} == {f"token {TOKEN}"}


# Proving, after `ready`


def test_a_proxy_that_says_503_for_a_moment_after_ready_is_borne(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    times = iter([True, True])

    def not_yet(request: Request, connection: Connection) -> None:
        if next(times, False):
            connection.html(503)
        else:
            session.mode = "running"
            del session.overrides["GET", "api/status"]
            session.handler(request, connection)

    session.overrides["GET", "api/status"] = not_yet
    start(configure(), context)
    assert len(session.asked(f"{session.base}api/status")) >= 3


@pytest.mark.parametrize(("mode", "words"), [("404", "no such server"), ("403 JSON", "refuses the token")])
def test_a_session_that_is_no_use_from_the_start_fails_the_launch_at_once(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str, words: str
) -> None:
    session.mode = mode
    error = failure(configure(timeouts__stop=0.3), context)
    assert isinstance(error, LaunchError)
    assert words in error.message


def test_a_session_that_cannot_be_stopped_again_is_borne_by_the_error(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    error = failure(configure(timeouts__launch=0.5, timeouts__stop=0.5), context)
    assert error.session is not None
    assert error.session.url == session.session_url
    assert "clinder stop" in error.hint


# Stopping


@pytest.mark.parametrize("mode", ["302", "404", "424", "403 HTML"])
def test_a_session_is_stopped_when_it_is_seen_to_be_gone(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str
) -> None:
    session.after_shutdown = mode
    result = stop(recorded(session), configure(), context)
    assert result.action is DownAction.STOPPED
    assert len(session.asked(f"{session.base}api/shutdown", "POST")) == 1


def test_a_session_that_answers_503_after_its_shutdown_is_waited_for(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.after_shutdown = "503"
    answers = in_turn(DEATHS["503"], DEATHS["503"], DEATHS["404"])

    def shut_down(_request: Request, connection: Connection) -> None:
        session.overrides["GET", "api/status"] = answers
        connection.answer(200)

    session.overrides["POST", "api/shutdown"] = shut_down
    stop(recorded(session), configure(), context)
    assert len(session.asked(f"{session.base}api/status")) == 4


def test_a_session_that_was_gone_already_is_not_asked_to_end(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "404"
    assert stop(recorded(session), configure(), context).action is DownAction.ALREADY_GONE
    assert not session.was_shut_down


@pytest.mark.parametrize(
    "answer_to_shutdown",
    [lambda _request, _connection: None, lambda _request, connection: connection.reset()],
    ids=["cut", "reset"],
)
def test_a_proxy_may_cut_the_connection_of_a_shutdown(
    session: JupyterSession, configure: Configure, context: RunContext, answer_to_shutdown: Handler
) -> None:
    def shut_down(request: Request, connection: Connection) -> None:
        session.mode = "404"
        answer_to_shutdown(request, connection)

    session.overrides["POST", "api/shutdown"] = shut_down
    assert stop(recorded(session), configure(), context).action is DownAction.STOPPED


def test_a_shutdown_that_fails_first_is_asked_for_again(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    def broken(_request: Request, connection: Connection) -> None:
        del session.overrides["POST", "api/shutdown"]
        connection.json(500, {"message": "x"})

    session.overrides["POST", "api/shutdown"] = broken
    assert stop(recorded(session), configure(), context).action is DownAction.STOPPED
    assert len(session.asked(f"{session.base}api/shutdown", "POST")) == 2


def test_a_shutdown_without_effect_times_out(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.after_shutdown = "running"
    with pytest.raises(TimedOutError, match="not confirmed stopped: it is still running"):
        stop(recorded(session), configure(timeouts__stop=0.6), context)


def test_a_session_that_refuses_the_token_is_not_waited_for(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "403 JSON"
    began = time.monotonic()
    with pytest.raises(RefusedError, match="cannot be stopped: the server answers, but refuses the token"):
        stop(recorded(session), configure(timeouts__stop=30), context)
    assert time.monotonic() - began < 10


def drip(_request: Request, connection: Connection) -> None:
    """Send a header, a byte at a time, faster than any pause that a client would take for silence."""
    connection.send(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(300):
        connection.send(b"x")
        connection.wait(0.1)


def test_headers_that_drip_do_not_defeat_the_time_of_a_request(session: JupyterSession, configure: Configure) -> None:
    session.overrides["GET", "api/status"] = drip
    began = time.monotonic()
    seen = observe_session(recorded(session), timeouts=configure(timeouts__connect=0.5).timeouts)
    assert (seen.condition, seen.reason) == (Condition.UNREACHABLE, "the server does not answer in time")
    assert time.monotonic() - began < 5


def test_a_signal_is_heard_while_headers_drip(session: JupyterSession, configure: Configure) -> None:
    session.overrides["GET", "api/status"] = drip
    with Interrupts().installed() as interrupts:
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        began = time.monotonic()
        with pytest.raises(InterruptedBySignalError):
            stop(
                recorded(session),
                configure(timeouts__connect=30, timeouts__stop=30),
                RunContext(interrupts=interrupts),
            )
    assert time.monotonic() - began < 10


def test_503_counts_as_gone_only_when_it_lasts(
    session: JupyterSession, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jupyter, "_UNAVAILABLE_MEANS_GONE_S", 2.0)
    session.after_shutdown = "running"
    began = time.monotonic()

    def unwell_after_a_while(request: Request, connection: Connection) -> None:
        if time.monotonic() - began < 2.0:
            connection.json(200, {"kernels": 0, "connections": 0})
        else:
            connection.html(503)

    session.overrides["GET", "api/status"] = unwell_after_a_while
    assert stop(recorded(session), configure(timeouts__stop=10), context).action is DownAction.STOPPED
    assert time.monotonic() - began >= 4.0


@pytest.mark.parametrize("mode", ["503", "reset"])
def test_a_session_that_cannot_be_asked_is_not_said_to_be_stopped(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str
) -> None:
    session.mode = mode
    with pytest.raises(UnreachableError, match="cannot be stopped"):
        stop(recorded(session), configure(timeouts__stop=0.4), context)
