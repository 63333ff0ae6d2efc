"""The kernel that is started once before a session counts as up: does it answer, does it die, can it be judged."""

from __future__ import annotations

import json
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import urllib3
from wsproto.events import CloseConnection, TextMessage

from clinder.config.loading import Config
from clinder.model.errors import ClinderError, InterruptedBySignalError, LaunchError
from clinder.model.events import Message
from clinder.net import kernel_check
from clinder.operations.context import RunContext
from clinder.operations.oneshot import start
from clinder.system.interrupts import Interrupts
from hub.channels import Channels, Kernel, accept, answering, in_turn, silent
from hub.servers import DEATHS, TOKEN, Connection, Handler, JupyterSession, Request, eventually

if TYPE_CHECKING:
    from hub.conftest import Heard

Configure = Callable[..., Config]
KERNEL = ("GET", "api/kernels/k0")
CHANNELS = ("GET", "api/kernels/k0/channels")
KERNELS = ("POST", "api/kernels")
MEBIBYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No thread outlives a launch; that no socket does, Python's own warnings say."""
    yield
    eventually(lambda: not any(thread.name == "clinder-channels" for thread in threading.enumerate()), "threads ended")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less long than a real server needs."""
    for name, seconds in {
        "_ASK_AGAIN_S": 0.1,
        "_LOOK_AGAIN_S": 0.1,
        "_SILENCE_S": 0.5,
        "_LONGEST_PAUSE_S": 0.05,
    }.items():
        monkeypatch.setattr(kernel_check, name, seconds)


def warnings(heard: Heard) -> list[str]:
    return [item.text for item in heard.items if isinstance(item, Message) and item.warning]


def assert_proven(session: JupyterSession, config: Config, heard: Heard) -> None:
    """The session comes up, nothing is to be said of its kernel, and the kernel is stopped."""
    assert start(config, RunContext(on_event=heard)).url == session.session_url
    assert warnings(heard) == []
    assert session.kernels == {}
    assert not session.was_shut_down


def assert_kept(session: JupyterSession, config: Config, heard: Heard, words: str) -> None:
    """The session comes up, and it is said that its kernel could not be judged."""
    assert start(config, RunContext(on_event=heard)).url == session.session_url
    [warning] = warnings(heard)
    assert words in warning
    assert warning.endswith("; the session is kept")
    assert not session.was_shut_down


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


def answer(status: int, document: object) -> Handler:
    return lambda _request, connection: connection.json(status, document)


# Kernels that work


@pytest.mark.parametrize("speaks_v1", [True, False], ids=["v1", "JSON"])
def test_a_session_counts_as_up_when_its_kernel_answers(
    session: JupyterSession, configure: Configure, heard: Heard, speaks_v1: bool
) -> None:
    session.speaks_v1 = speaks_v1
    assert_proven(session, configure(), heard)


def test_a_kernel_that_reads_as_starting_for_ever_is_ready_when_it_answers(
    session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    session.kernel_states = ["starting"]
    assert_proven(session, configure(), heard)


def test_the_servers_default_kernel_is_started_unless_one_is_named(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    start(configure(), context)
    start(configure(session__warm="ir"), context)
    bodies = [json.loads(request.body) for request in session.asked(f"{session.base}api/kernels", "POST")]
    assert bodies == [{}, {"name": "ir"}]


def test_no_kernel_is_started_where_that_is_off(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    start(configure(session__warm="off"), context)
    assert {request.path for request in session.requests} == {f"{session.base}api/status"}


def test_the_token_is_in_no_url_of_the_channels(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    start(configure(), context)
    [request] = session.channels_opened
    assert request.headers["authorization"] == f"token {TOKEN}"
    assert request.query.startswith("session_id=")
    assert TOKEN not in request.target


@pytest.mark.parametrize("speaks_v1", [True, False], ids=["v1", "JSON"])
def test_a_kernel_whose_first_answers_are_lost_is_asked_again(
    session: JupyterSession,
    configure: Configure,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
    speaks_v1: bool,
) -> None:
    monkeypatch.setattr(kernel_check, "_ASK_AGAIN_S", 0.1)

    def kernel(channels: Channels) -> None:
        channels.request()
        channels.request()
        channels.reply(channels.request())
        channels.hold()

    session.kernel, session.speaks_v1 = kernel, speaks_v1
    assert_proven(session, configure(), heard)
    assert len(session.channels_opened) == 1


def test_only_an_answer_to_its_own_question_counts(session: JupyterSession, configure: Configure, heard: Heard) -> None:
    answered: list[bool] = []

    def kernel(channels: Channels) -> None:
        request = channels.request()
        channels.send("shell", "kernel_info_reply", {"status": "ok"}, {"msg_id": "somebody-else"})
        channels.send("shell", "kernel_info_reply", {"status": "error"}, request["header"])
        channels.send("iopub", "status", {"execution_state": "idle"}, request["header"])
        request = channels.request()  # once more, after a second
        answered.append(True)
        channels.reply(request)
        channels.hold()

    session.kernel = kernel
    assert_proven(session, configure(), heard)
    assert answered == [True]


def cut(channels: Channels) -> None:
    channels.request()
    channels.connection.reset()


def goodbye(channels: Channels) -> None:
    channels.request()
    channels.send_event(CloseConnection(code=1001))
    channels.hold()


def at_once(channels: Channels) -> None:
    channels.connection.reset()


def noise(channels: Channels) -> None:
    channels.connection.send(b"\xff" * 100)
    channels.hold()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("broken", [cut, goodbye, at_once, noise, silent])
def test_channels_that_are_closed_or_silent_are_opened_anew(
    session: JupyterSession, configure: Configure, heard: Heard, broken: Kernel
) -> None:
    session.kernel, session.kernel_states = in_turn(broken, broken, answering), ["starting"]
    assert_proven(session, configure(), heard)
    identifiers = {request.query for request in session.channels_opened}
    assert len(identifiers) == 3, "each time with an id of their own"


def test_channels_that_open_late_are_waited_for(session: JupyterSession, configure: Configure, heard: Heard) -> None:
    def late(request: Request, connection: Connection) -> None:
        connection.wait(2.5)
        del session.overrides[CHANNELS]
        session.handler(request, connection)

    session.overrides[CHANNELS] = late
    assert_proven(session, configure(timeouts__connect=1), heard)
    assert len(session.channels_opened) == 1


@pytest.mark.parametrize("speaks_v1", [True, False], ids=["v1", "JSON"])
def test_an_answer_may_come_in_fragments_and_byte_by_byte(
    session: JupyterSession, configure: Configure, heard: Heard, speaks_v1: bool
) -> None:
    def kernel(channels: Channels) -> None:
        request = channels.request()
        whole = channels.event("shell", "kernel_info_reply", {"status": "ok", "banner": "grüße"}, request["header"])
        half = len(whole.data) // 2
        frames = b"".join(
            channels.frame(type(whole)(data, message_finished=is_last))
            for data, is_last in ((whole.data[:half], False), (whole.data[half:], True))
        )
        for number in range(len(frames)):
            channels.connection.send(frames[number : number + 1])
        channels.hold()

    session.kernel, session.speaks_v1 = kernel, speaks_v1
    assert_proven(session, configure(), heard)
    assert len(session.channels_opened) == 1


def test_what_comes_together_with_the_head_is_read(session: JupyterSession, configure: Configure, heard: Heard) -> None:
    def eager(request: Request, connection: Connection) -> None:
        channels = Channels(connection, "", 0)
        connection.send(accept(request) + channels.ping_frame(b"with the head"))
        channels.await_pong(b"with the head")
        answering(channels)

    session.overrides[CHANNELS] = eager
    assert_proven(session, configure(), heard)


def test_pings_are_answered(session: JupyterSession, configure: Configure, heard: Heard) -> None:
    def kernel(channels: Channels) -> None:
        channels.connection.send(channels.ping_frame(b"are you there"))
        channels.await_pong(b"are you there")
        answering(channels)

    session.kernel = kernel
    assert_proven(session, configure(), heard)


def test_a_huge_message_is_skipped_and_not_kept(session: JupyterSession, configure: Configure, heard: Heard) -> None:
    def kernel(channels: Channels) -> None:
        request = channels.request()
        for _ in range(64):
            channels.send_event(TextMessage("x" * MEBIBYTE, message_finished=False))
        channels.send_event(TextMessage("x"))
        channels.reply(request)
        channels.hold()

    session.kernel = kernel
    tracemalloc.start()
    try:
        assert_proven(session, configure(), heard)
        assert tracemalloc.get_traced_memory()[1] < 24 * MEBIBYTE
    finally:
        tracemalloc.stop()


# Kernels that do not


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "die",
    [
        lambda session: setattr(session, "kernel_states", ["starting", "dead"]),
        lambda session: session.overrides.update({KERNEL: answer(404, {"message": "Kernel does not exist: k0"})}),
        lambda session: setattr(session, "kernel", lambda channels: (channels.status("dead"), channels.hold())),
    ],
    ids=["REST says so", "it is not there", "the channels say so"],
)
@pytest.mark.parametrize("speaks_v1", [True, False], ids=["v1", "JSON"])
def test_a_kernel_that_dies_fails_the_launch(
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    die: Callable[[JupyterSession], None],
    speaks_v1: bool,
) -> None:
    session.kernel, session.speaks_v1 = silent, speaks_v1
    die(session)
    began = time.monotonic()
    error = failure(configure(), context)
    assert isinstance(error, LaunchError)
    assert error.exit_status == 5
    assert "the server's default kernel died while it started" in error.message
    assert error.hint.endswith("The session was stopped.")
    assert session.was_shut_down
    assert error.session is None
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("impatient")
def test_why_a_kernel_died_reaches_the_user_without_the_token(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.kernel = silent
    reason = f"no module named nump ({TOKEN})" + "x" * 5000
    session.overrides[KERNEL] = answer(200, {"execution_state": "dead", "reason": reason})
    message = failure(configure(), context).message
    assert "no module named nump (***)" in message
    assert len(message) < 1000


def test_a_kernel_that_dies_while_its_channels_are_opened_fails_the_launch(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.overrides[CHANNELS] = lambda _request, connection: connection.hold()
    session.overrides[KERNEL] = answer(200, {"execution_state": "dead"})
    began = time.monotonic()
    assert "died while it started" in failure(configure(), context).message
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(501, {"message": "No kernel"}), "could not be started (HTTP 501: No kernel)"),
        (answer(201, {"id": 5}), "could not be started (HTTP 201)"),
        (answer(500, None), "could not be started (HTTP 500)"),
        (answer(400, {"message": f"not for {TOKEN}"}), "could not be started (HTTP 400: not for ***)"),
    ],
    ids=["none", "odd id", "broken", "with the token"],
)
def test_a_kernel_that_cannot_be_started_fails_the_launch(
    session: JupyterSession, configure: Configure, context: RunContext, reply: Handler, words: str
) -> None:
    session.overrides[KERNELS] = reply
    error = failure(configure(), context)
    assert isinstance(error, LaunchError)
    assert words in error.message
    assert session.was_shut_down


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["python3", "julia-1.11"], "(HTTP 500: Unhandled error): the server has julia-1.11, python3"),
        ([], "(HTTP 500: Unhandled error): the server has no kernels"),
        ([TOKEN], "the server has ***"),
        (["a\x1b[2Jb", "x" * 500, "ok"], "(HTTP 500: Unhandled error): the server has ok"),
        ([f"k{n:03}" for n in range(500)], "k008, k009 and 490 more"),
        (["ir"], "(HTTP 500: Unhandled error)"),
    ],
    ids=["others", "none", "the token", "odd names", "many", "it is there"],
)
def test_a_kernel_that_the_server_does_not_have_is_said_beside_those_that_it_has(
    session: JupyterSession, configure: Configure, context: RunContext, names: list[str], said: str
) -> None:
    session.overrides[KERNELS] = answer(500, {"message": "Unhandled error"})
    listed = {"default": "python3", "kernelspecs": {name: {"name": name} for name in names}}
    session.overrides["GET", "api/kernelspecs"] = answer(200, listed)
    assert failure(configure(session__warm="ir"), context).message.endswith(said)


def test_a_launch_whose_kernel_fails_is_not_tried_again(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.overrides[KERNELS] = answer(500, None)
    failure(configure(retry__attempts=3), context)
    assert len(session.asked(f"{session.base}api/kernels", "POST")) == 1


@pytest.mark.usefixtures("impatient")
def test_a_session_that_goes_while_its_kernel_starts_fails_the_launch(
    session: JupyterSession, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_check, "_GONE_S", 1.0)

    def kernel(channels: Channels) -> None:
        session.mode = "424"
        channels.hold()

    session.kernel = kernel
    error = failure(configure(), context)
    assert isinstance(error, LaunchError)
    assert "the session is gone (HTTP 424)" in error.message


# Kernels that cannot be judged


def test_a_kernel_that_does_not_answer_in_time_costs_a_warning_and_not_the_session(
    session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    session.kernel, session.kernel_states = silent, ["starting"]
    began = time.monotonic()
    words = "the server's default kernel did not answer in time (timeouts.launch = 1.5s"
    assert_kept(session, configure(timeouts__launch=1.5), heard, words)
    assert session.kernels == {}, "the kernel was stopped all the same"
    assert time.monotonic() - began < 6


@pytest.mark.usefixtures("impatient")
def test_an_idle_kernel_whose_channels_stay_silent_is_not_waited_for_to_the_end(
    session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    """As behind a proxy that lets a WebSocket be opened, and nothing pass."""
    session.kernel = silent
    began = time.monotonic()
    assert_kept(session, configure(timeouts__launch=60), heard, "though the server reports it as idle")
    assert time.monotonic() - began < 10
    assert len(session.channels_opened) == kernel_check._MOST_SILENCES


def endless(channels: Channels) -> None:
    channels.connection.send(b"\x81\x7f" + (2**40).to_bytes(8, "big"))  # one frame of a tebibyte of text
    while True:
        channels.connection.send(b"x" * 10_000)
        channels.connection.wait(0.001)


def chatty(channels: Channels) -> None:
    while True:
        channels.status("busy")


def drip(_request: Request, connection: Connection) -> None:
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
    while True:
        connection.send(b"x")
        connection.wait(0.05)


@pytest.mark.parametrize("kernel", [endless, chatty])
def test_channels_that_never_fall_silent_do_not_move_the_deadline(
    session: JupyterSession, configure: Configure, heard: Heard, kernel: Kernel
) -> None:
    session.kernel = kernel
    began = time.monotonic()
    assert_kept(session, configure(timeouts__launch=1.5), heard, "did not answer in time")
    assert time.monotonic() - began < 6


def test_a_head_that_drips_does_not_move_the_deadline(
    session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    session.overrides[CHANNELS] = drip
    began = time.monotonic()
    assert_kept(session, configure(timeouts__launch=1.5), heard, "did not answer in time")
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("status", [400, 403, 501])
def test_a_server_that_refuses_its_channels_costs_a_warning_at_once(
    session: JupyterSession, configure: Configure, heard: Heard, status: int
) -> None:
    session.overrides[CHANNELS] = answer(status, {"message": "no"})
    began = time.monotonic()
    words = f"the server's default kernel could not be checked: its channels cannot be used (HTTP {status})"
    assert_kept(session, configure(), heard, words)
    assert time.monotonic() - began < 3
    assert len(session.channels_opened) == 1
    assert session.kernels == {}


def wrong_key(request: Request, connection: Connection) -> None:
    connection.send(accept(request, key="bm90IHRoZSBrZXk="))
    connection.hold()


def odd_protocol(request: Request, connection: Connection) -> None:
    connection.send(accept(request, "graphql-ws"))
    connection.hold()


def elsewhere(_request: Request, connection: Connection) -> None:
    connection.answer(307, b"", Location="http://127.0.0.1:9/secret")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (answer(404, {}), "(HTTP 404)"),
        (answer(200, {}), "(HTTP 200)"),
        (answer(502, None), "(HTTP 502)"),
        (elsewhere, "(HTTP 307)"),
        (wrong_key, "the server's answer to the WebSocket handshake is invalid"),
        (odd_protocol, "the server's answer to the WebSocket handshake is invalid"),
        (lambda _request, connection: connection.reset(), "the server cannot be reached"),
        (lambda _request, _connection: None, "the connection was closed without an answer"),
        (lambda _request, connection: connection.send(b"SSH-2.0\r\n\r\n"), "the server cannot be reached"),
    ],
    ids=["404", "200", "502", "redirect", "key", "protocol", "reset", "cut", "not HTTP"],
)
def test_channels_that_do_not_open_after_some_tries_cost_a_warning(
    session: JupyterSession, configure: Configure, heard: Heard, handler: Handler, words: str
) -> None:
    session.overrides[CHANNELS] = handler
    assert_kept(session, configure(), heard, words)
    assert len(session.channels_opened) == kernel_check._MOST_FAILURES


@pytest.mark.usefixtures("impatient")
def test_channels_that_are_closed_at_once_every_time_cost_a_warning(
    session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    session.kernel = at_once
    assert_kept(session, configure(), heard, "its channels cannot be used (the connection was cut)")


def test_a_urllib3_that_hides_its_socket_costs_a_warning(
    session: JupyterSession, configure: Configure, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib3.HTTPResponse, "connection", None)
    assert_kept(session, configure(), heard, "its channels cannot be used (this version of urllib3 does not allow it)")
    assert len(session.channels_opened) == 1


@pytest.mark.parametrize("handler", [lambda _request, connection: connection.hold(), DEATHS["reset"]])
def test_a_start_that_is_never_answered_costs_a_warning_where_the_server_answers_else(
    session: JupyterSession, configure: Configure, heard: Heard, handler: Handler
) -> None:
    session.overrides[KERNELS] = handler
    assert_kept(session, configure(timeouts__launch=1.5), heard, "the server's default kernel could not be checked")


@pytest.mark.parametrize("mode", ["424", "503", "reset"])
def test_a_start_that_ends_the_server_fails_the_launch(
    session: JupyterSession, configure: Configure, context: RunContext, mode: str
) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        session.mode = mode
        connection.reset()

    session.overrides[KERNELS] = handle
    error = failure(configure(timeouts__launch=1.5, timeouts__connect=1, timeouts__stop=0.5), context)
    assert isinstance(error, LaunchError)
    assert "the session cannot be used" in error.message


@pytest.mark.parametrize("mode", ["302", "404", "424", "503"])
def test_a_proxy_that_does_not_know_the_session_for_a_moment_is_borne(
    session: JupyterSession, configure: Configure, heard: Heard, mode: str
) -> None:
    def not_yet(request: Request, connection: Connection) -> None:
        del session.overrides[KERNELS]
        connection.html(int(mode))

    session.overrides[KERNELS] = not_yet
    assert_proven(session, configure(), heard)


@pytest.mark.parametrize(
    "stall",
    [
        lambda session: setattr(session, "kernel", silent),
        lambda session: session.overrides.update({CHANNELS: lambda _request, connection: connection.hold()}),
        lambda session: session.overrides.update({CHANNELS: drip}),
        lambda session: session.overrides.update({CHANNELS: answer(502, None)}),
    ],
    ids=["silent", "not opened", "dripping", "refused"],
)
def test_a_signal_is_heard_while_the_kernel_is_waited_for(
    session: JupyterSession, configure: Configure, stall: Callable[[JupyterSession], None]
) -> None:
    stall(session)
    with Interrupts().installed() as interrupts:

        def interrupt() -> None:
            eventually(lambda: session.channels_opened, "the channels are opened")
            time.sleep(0.3)
            signal.raise_signal(signal.SIGINT)

        threading.Thread(target=interrupt).start()
        began = time.monotonic()
        with pytest.raises(InterruptedBySignalError):
            start(configure(), RunContext(interrupts=interrupts))
    assert time.monotonic() - began < 5
    assert session.was_shut_down
