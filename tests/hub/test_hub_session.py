"""The session after `ready`: whether it answers, its kernel starts, it is gone, it stops."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest
from pace import assert_took_under

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


# Observation


def test_a_running_session_reports_its_idle_time_and_kernels(session: JupyterSession, configure: Configure) -> None:
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
def test_the_answer_of_a_dead_session_shows_whether_it_is_gone(
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


def test_a_wrong_token_is_distinguished_from_a_gone_session(session: JupyterSession, configure: Configure) -> None:
    seen = observe_session(recorded(session, "wrong"), timeouts=configure().timeouts)
    assert (seen.condition, seen.reason) == (Condition.UNREACHABLE, "the server answers, but refuses the token")


def test_redirects_of_a_session_are_not_followed(session: JupyterSession, configure: Configure) -> None:
    with Server() as elsewhere:
        session.overrides["GET", "*"] = lambda _request, connection: connection.html(302, Location=elsewhere.url)
        observe_session(recorded(session), timeouts=configure().timeouts)
        assert elsewhere.requests == []
    assert len(session.requests) == 1


@pytest.mark.parametrize("location", ["http://[bad", "", "ftp://x", "http://a..b/", "\x1b"])
def test_a_redirect_to_an_invalid_location_still_means_gone(
    session: JupyterSession, configure: Configure, location: str
) -> None:
    session.overrides["GET", "*"] = lambda _request, connection: connection.html(302, Location=location)
    assert observe_session(recorded(session), timeouts=configure().timeouts).condition is Condition.GONE


@pytest.mark.parametrize("status", [200, 302, 403, 404])
def test_an_endlessly_slow_answer_is_abandoned_in_time(
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
    assert_took_under(time.monotonic() - began, 3)
    assert seen.condition is not Condition.RUNNING


@pytest.mark.parametrize(
    "status",
    [{}, {"kernels": "many", "connections": -1, "last_activity": 5}, {"kernels": True, "connections": 1.5}],
)
def test_invalid_numbers_in_a_status_are_ignored(session: JupyterSession, configure: Configure, status: object) -> None:
    session.overrides["GET", "api/status"] = lambda _request, connection: connection.json(200, status)
    seen = observe_session(recorded(session), timeouts=configure().timeouts)
    assert seen.condition is Condition.RUNNING
    assert (seen.kernels, seen.connections, seen.last_activity) == (None, None, None)


def test_an_endless_answer_is_read_up_to_one_mebibyte(session: JupyterSession, configure: Configure) -> None:
    sent: list[int] = []

    def flood(_request: Request, connection: Connection) -> None:
        connection.head(200, "application/json")
        for _ in range(1000):
            connection.send(b" " * 65536)
            sent.append(65536)

    session.overrides["GET", "*"] = flood
    observe_session(recorded(session), timeouts=configure().timeouts)
    eventually(lambda: not session.connections or session.connections[0].is_disconnected(), "the client disconnected")
    assert sum(sent) < 32 * 1024 * 1024


def test_the_token_is_only_sent_in_the_authorization_header(
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


# Verification after `ready`


def test_a_brief_503_of_the_proxy_after_ready_is_tolerated(
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
def test_an_unusable_session_fails_the_launch_at_once(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str, words: str
) -> None:
    session.mode = mode
    error = failure(configure(timeouts__stop=0.3), context)
    assert isinstance(error, LaunchError)
    assert words in error.message


def test_the_error_contains_a_session_that_could_not_be_stopped(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    error = failure(configure(timeouts__launch=0.5, timeouts__stop=0.5), context)
    assert error.session is not None
    assert error.session.url == session.session_url
    assert "clinder stop" in error.hint


# Stopping


@pytest.mark.parametrize("mode", ["302", "404", "424", "403 HTML"])
def test_a_session_that_is_confirmed_gone_counts_as_stopped(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str
) -> None:
    session.after_shutdown = mode
    result = stop(recorded(session), configure(), context)
    assert result.action is DownAction.STOPPED
    assert len(session.asked(f"{session.base}api/shutdown", "POST")) == 1


def test_a_503_after_a_shutdown_is_waited_out(
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


def test_a_session_that_is_already_gone_gets_no_shutdown_request(
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
def test_a_shutdown_request_may_be_cut_by_the_proxy(
    session: JupyterSession, configure: Configure, context: RunContext, answer_to_shutdown: Handler
) -> None:
    def shut_down(request: Request, connection: Connection) -> None:
        session.mode = "404"
        answer_to_shutdown(request, connection)

    session.overrides["POST", "api/shutdown"] = shut_down
    assert stop(recorded(session), configure(), context).action is DownAction.STOPPED


def test_a_failed_shutdown_is_requested_again(
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


def test_stopping_does_not_wait_for_a_session_that_refuses_the_token(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "403 JSON"
    began = time.monotonic()
    with pytest.raises(RefusedError, match="cannot be stopped: the server answers, but refuses the token"):
        stop(recorded(session), configure(timeouts__stop=30), context)
    assert_took_under(time.monotonic() - began, 10)


def drip(_request: Request, connection: Connection) -> None:
    """Send a header one byte at a time, too fast for a read timeout."""
    connection.send(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(300):
        connection.send(b"x")
        connection.wait(0.1)


def test_slow_headers_do_not_extend_the_timeout_of_a_request(session: JupyterSession, configure: Configure) -> None:
    session.overrides["GET", "api/status"] = drip
    began = time.monotonic()
    seen = observe_session(recorded(session), timeouts=configure(timeouts__connect=0.5).timeouts)
    assert (seen.condition, seen.reason) == (Condition.UNREACHABLE, "the server does not answer in time")
    assert_took_under(time.monotonic() - began, 5)


def test_a_signal_interrupts_slow_headers(session: JupyterSession, configure: Configure) -> None:
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
    assert_took_under(time.monotonic() - began, 10)


def test_only_a_lasting_503_counts_as_gone(
    session: JupyterSession, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jupyter, "_UNAVAILABLE_MEANS_GONE_S", 2.0)
    session.after_shutdown = "running"
    began = time.monotonic()

    def unhealthy_after_a_while(request: Request, connection: Connection) -> None:
        if time.monotonic() - began < 2.0:
            connection.json(200, {"kernels": 0, "connections": 0})
        else:
            connection.html(503)

    session.overrides["GET", "api/status"] = unhealthy_after_a_while
    assert stop(recorded(session), configure(timeouts__stop=10), context).action is DownAction.STOPPED
    assert time.monotonic() - began >= 4.0


@pytest.mark.parametrize("mode", ["503", "reset"])
def test_an_unreachable_session_is_not_reported_as_stopped(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str
) -> None:
    session.mode = mode
    with pytest.raises(UnreachableError, match="cannot be stopped"):
        stop(recorded(session), configure(timeouts__stop=0.4), context)
