"""A request that is given up ends: neither its thread nor its connection stays, wherever it was stuck."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import Config
from clinder.hubs.binderhub import BinderHub
from clinder.model.errors import InterruptedBySignalError, StateError, UnreachableError
from clinder.model.observation import Condition
from clinder.model.session import Session
from clinder.net.http import ask, new_client
from clinder.operations.oneshot import start
from clinder.operations.probe import observe_session
from clinder.state import State, StateFolder
from clinder.system.interrupts import Interrupts
from hub.servers import TOKEN, Connection, Handler, Request, Server, eventually

if TYPE_CHECKING:
    from types import ModuleType

    from clinder.operations.context import RunContext

Configure = Callable[..., Config]
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")


def dripping(*before: bytes, drop: bytes = b"x") -> Handler:
    """Send something, and then a little for ever."""

    def handle(_request: Request, connection: Connection) -> None:
        for piece in before:
            connection.send(piece)
        while True:
            connection.send(drop)
            connection.wait(0.02)

    return handle


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS: dict[str, Handler] = {
    "status line": dripping(),
    "header": dripping(OK, b"X-"),
    "headers": dripping(OK, drop=b"A: b\r\n"),
    "100 Continue": dripping(drop=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": dripping(OK, b"Content-Type: application/json\r\n\r\n", drop=b" "),
    "chunks": dripping(OK, b"Transfer-Encoding: chunked\r\n\r\n", drop=b"1\r\n \r\n"),
    "silence": lambda _request, connection: connection.hold(),
}


def requests_under_way() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("clinder-request", "clinder-events")]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.contextmanager
def leaving_nothing() -> Iterator[None]:
    """See that the block leaves no thread and no open file."""
    files = open_files()
    yield
    eventually(lambda: not requests_under_way(), "no thread is left")
    eventually(lambda: open_files() <= files, "no file is left open")


@NEEDS_PROC
@pytest.mark.parametrize("where", DRIPS)
def test_no_look_at_a_server_that_drips_leaves_a_thread_or_an_open_file(configure: Configure, where: str) -> None:
    timeouts = configure(timeouts__connect=0.05).timeouts
    with Server(DRIPS[where]) as server:
        session = Session(url=f"{server.url}/user/x/", token=TOKEN)
        observe_session(session, timeouts=timeouts)
        with leaving_nothing():
            for _ in range(200 if where == "body" else 10):
                seen = observe_session(session, timeouts=timeouts)
                assert (seen.condition, seen.reason) == (Condition.UNREACHABLE, "the server does not answer in time")
                assert len(requests_under_way()) <= 1


@pytest.fixture
def mute_tls() -> Iterator[int]:
    """A port that takes connections and lets a TLS handshake drip."""
    over = threading.Event()

    def drip(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.sendall(b"\x16\x03\x03\x40\x00")
            while not over.wait(0.02):
                client.sendall(b"\x00")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@NEEDS_PROC
def test_a_tls_handshake_that_drips_is_left_in_time(configure: Configure, mute_tls: int) -> None:
    session = Session(url=f"https://127.0.0.1:{mute_tls}/user/x/", token=TOKEN)
    with leaving_nothing():
        for _ in range(5):
            began = time.monotonic()
            seen = observe_session(session, timeouts=configure(timeouts__connect=0.1).timeouts)
            assert time.monotonic() - began < 2
            assert seen.condition is Condition.UNREACHABLE


@NEEDS_PROC
def test_headers_of_a_launch_that_drip_leave_nothing(configure: Configure, context: RunContext) -> None:
    with Server(DRIPS["header"]) as hub, leaving_nothing(), pytest.raises(UnreachableError, match="does not answer"):
        start(configure(hub=hub.url, timeouts__connect=0.3, timeouts__silence=60), context)


@NEEDS_PROC
@pytest.mark.parametrize("where", ["header", "body", "silence"])
def test_a_look_at_a_hub_that_drips_leaves_nothing(where: str) -> None:
    with Server(DRIPS[where]) as hub, leaving_nothing(), pytest.raises(UnreachableError, match="does not answer"):
        BinderHub(hub.url, connect_s=0.2).report()


@NEEDS_PROC
def test_a_request_that_a_signal_interrupts_leaves_nothing() -> None:
    with Server(DRIPS["headers"]) as server, leaving_nothing(), Interrupts().installed() as interrupts:
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        with new_client() as client, pytest.raises(InterruptedBySignalError):
            ask(client, "GET", server.url, who="it", timeout_s=30, pause=interrupts.sleep)


def test_the_client_of_a_request_that_was_given_up_is_of_use_for_the_next() -> None:
    with Server(DRIPS["body"]) as server, new_client() as client:
        with pytest.raises(UnreachableError):
            ask(client, "GET", server.url, who="it", timeout_s=0.1)
        server.handler = lambda _request, connection: connection.json(200, {"ok": True})
        assert ask(client, "GET", server.url, who="it", timeout_s=5)[1] == {"ok": True}


def test_an_answer_that_giving_up_cut_off_is_none() -> None:
    """A connection that is shut down reads as ended, and a body without a length as whole."""
    whole = dripping(OK, b'Content-Type: application/json\r\n\r\n{"ok": true}', drop=b" ")
    with Server(whole) as server, new_client() as client, pytest.raises(UnreachableError, match="in time"):
        ask(client, "GET", server.url, who="it", timeout_s=0.2)


def test_a_host_of_many_addresses_is_not_tried_on_after_giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Slow(socket.socket):
        def connect(self, address: object) -> None:
            asked.append(address)
            time.sleep(0.15)
            raise TimeoutError(errno.ETIMEDOUT, "timed out")

    many = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 80)) for number in range(100)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: many)
    monkeypatch.setattr(socket, "socket", Slow)
    with new_client() as client, pytest.raises(UnreachableError):
        ask(client, "GET", "http://slow.test/", who="it", timeout_s=0.1)
    eventually(lambda: not requests_under_way(), "the thread ended")
    assert len(asked) <= 2


# What has run out is named


def running_out(module: ModuleType, name: str, number: int) -> Callable[[pytest.MonkeyPatch], None]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return lambda monkeypatch: monkeypatch.setattr(module, name, fail)


def test_open_files_that_ran_out_are_no_fault_of_the_server(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_out(socket, "socket", errno.EMFILE)(monkeypatch)
    seen = observe_session(Session(url="http://127.0.0.1:9/", token=TOKEN), timeouts=configure().timeouts)
    assert seen.reason == "the server cannot be asked: this process has too many files open"
    with pytest.raises(UnreachableError) as caught:
        BinderHub("http://127.0.0.1:9", connect_s=1).report()
    assert "ulimit -n" in caught.value.hint


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("doing", ["read", "write", "lock"])
def test_nobody_is_told_to_move_a_state_away_that_may_be_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, doing: str
) -> None:
    folder = StateFolder(tmp_path / ".clinder")
    folder.prepare()
    state = folder.write(folder.write(State()))
    running_out(os, "open", number)(monkeypatch)
    doings: dict[str, Callable[[], object]] = {
        "read": folder.read,
        "write": lambda: folder.write(state),
        "lock": lambda: folder.locked("up", timeout_s=0, on_wait=lambda _: None).__enter__(),
    }
    with pytest.raises(StateError) as caught:
        doings[doing]()
    assert "ove " not in caught.value.hint, "move, or remove"
    assert "copy" not in caught.value.hint
    if number != errno.EACCES:
        assert "try again" in caught.value.hint
        assert "writable" not in caught.value.hint
