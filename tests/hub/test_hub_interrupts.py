"""The installed command, interrupted by real signals at every relevant moment."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pace import assert_took_under

from hub.commands import ONE_WISH_S, Command
from hub.servers import (
    KEEPALIVE,
    TOKEN,
    Connection,
    JupyterSession,
    Request,
    Server,
    event,
    eventually,
    play,
    stream,
)

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.state import State

WAITING = event("waiting", "Waiting\n")
BUILT = event("built", "Found built image\n")
LAUNCHING = event("launching", "Launching server...\n")
Start = Callable[..., Command]


@pytest.fixture
def clinder(hub: Server, tmp_path: Path) -> Iterator[Start]:
    """Start the command in a folder of its own, with short timeouts."""
    started: list[Command] = []
    (tmp_path / "clinder.toml").write_text(
        f'hub = "{hub.url}"\nrepo = "org/name"\nref = "main"\n'
        'timeouts = { connect = "5s", silence = "20s", build = "20s", launch = "20s", stop = "5s" }\n'
        "retry = { attempts = 3 }\n"
    )

    def start(*arguments: str, **more: Any) -> Command:
        started.append(Command(tmp_path, *arguments, **more, env={**os.environ, "PYTHONWARNINGS": "error"}))
        return started[-1]

    yield start
    for process in started:
        process.dispose()


def state(folder: Path) -> State:
    from clinder.state import StateFolder

    return StateFolder(folder / ".clinder").read()


class Pausing:
    """A handler that sends some pieces, and what is due `then` only when the test says so."""

    def __init__(self, *pieces: bytes, then: bytes = KEEPALIVE) -> None:
        self._pieces = pieces
        self._then = then
        self._goes_on = threading.Event()

    def __call__(self, _request: Request, connection: Connection) -> None:
        play(connection, *self._pieces, lambda it: it.wait_until(self._goes_on.is_set), self._then)

    def go_on(self) -> None:
        self._goes_on.set()


COMMANDS = [("up",), ("start", "--config", "clinder.toml")]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", COMMANDS, ids=["up", "start"])
def test_before_built_a_signal_exits_at_once(
    hub: Server, clinder: Start, tmp_path: Path, command: tuple[str, ...], number: signal.Signals, status: int
) -> None:
    hub.handler = Pausing(WAITING)
    process = clinder(*command)
    process.await_words("Waiting")
    process.signal(number)
    signalled = time.monotonic()
    code, out, err = process.ended()
    assert (code, out) == (status, "")
    assert_took_under(time.monotonic() - signalled, 5)
    assert "no session was started" in err
    assert state(tmp_path).pending is None


@pytest.mark.parametrize("command", COMMANDS, ids=["up", "start"])
@pytest.mark.parametrize(
    ("pieces", "words"), [((WAITING, BUILT), "Found built image"), ((BUILT, LAUNCHING), "Launching server")]
)
def test_after_built_a_signal_waits_for_the_session_and_stops_it(
    hub: Server,
    session: JupyterSession,
    clinder: Start,
    tmp_path: Path,
    command: tuple[str, ...],
    pieces: tuple[bytes, ...],
    words: str,
) -> None:
    hub.handler = at = Pausing(*pieces, then=session.ready())
    process = clinder(*command)
    process.await_words(words)
    process.signal(signal.SIGTERM)
    at.go_on()
    code, out, _ = process.ended()
    assert (code, out) == (143, "")
    assert session.was_shut_down
    assert not session.asked(f"{session.base}api/kernels"), "a kernel was started"
    assert state(tmp_path).session is None
    assert state(tmp_path).retired == ()


def test_a_session_that_is_not_ready_in_time_is_reported(hub: Server, clinder: Start) -> None:
    hub.handler = Pausing(BUILT, LAUNCHING)
    process = clinder("up", "--timeouts-stop", "0.5s")
    process.await_words("Launching server")
    process.signal(signal.SIGINT)
    code, _, err = process.ended()
    assert code == 130
    assert "did not come up in time to stop it" in err
    assert "The hub launches it all the same" in err


def test_a_second_signal_exits_at_once_and_reports_possible_orphans(hub: Server, clinder: Start) -> None:
    hub.handler = Pausing(BUILT, LAUNCHING)
    process = clinder("up")
    process.await_words("Launching server")
    process.signal(signal.SIGINT)
    time.sleep(ONE_WISH_S)
    signalled = time.monotonic()
    process.signal(signal.SIGINT)
    code, _, err = process.ended()
    assert code == 130
    assert_took_under(time.monotonic() - signalled, 3)
    assert "A session may be left on" in err


def test_a_launch_that_fails_after_a_signal_is_not_retried(hub: Server, clinder: Start) -> None:
    hub.handler = at = Pausing(BUILT, then=event("failed", "no\n", status_code=500))
    process = clinder("up")
    process.await_words("Found built image")
    process.signal(signal.SIGINT)
    at.go_on()
    assert process.ended()[0] == 130
    assert len(hub.requests) == 1


def test_a_signal_ends_the_pause_before_the_next_attempt(hub: Server, clinder: Start) -> None:
    hub.handler = lambda _request, connection: connection.html(503)
    process = clinder("up", "--retry-backoff", "60s", "--timeouts-build", "10m")
    process.await_words("retrying on")
    process.signal(signal.SIGINT)
    assert process.ended()[0] == 130
    assert len(hub.requests) == 1


@pytest.mark.parametrize("path", ["api/status", "api/kernels"])
def test_a_signal_during_verification_stops_the_session(
    session: JupyterSession, clinder: Start, tmp_path: Path, path: str
) -> None:
    method = "GET" if path == "api/status" else "POST"

    def stall(_request: Request, connection: Connection) -> None:
        del session.overrides[method, path]
        connection.hold()

    session.overrides[method, path] = stall
    process = clinder("up", "--timeouts-connect", "2s")
    eventually(lambda: session.asked(session.base + path, method), "the session is being verified")
    signalled = time.monotonic()
    process.signal(signal.SIGINT)
    code, out, _ = process.ended()
    assert (code, out) == (130, "")
    assert_took_under(time.monotonic() - signalled, 8)
    assert session.was_shut_down
    assert state(tmp_path).session is None


def test_a_second_signal_during_verification_leaves_the_session_recorded(
    session: JupyterSession, clinder: Start, tmp_path: Path
) -> None:
    session.overrides["POST", "api/kernels"] = lambda _request, connection: connection.hold()
    process = clinder("up")
    eventually(lambda: session.asked(f"{session.base}api/kernels"), "the kernel is started")
    session.mode = "503"
    process.signal(signal.SIGINT)
    time.sleep(ONE_WISH_S)
    signalled = time.monotonic()
    process.signal(signal.SIGINT)
    code, _, err = process.ended()
    assert code == 130, err
    assert_took_under(time.monotonic() - signalled, 3)
    assert session.session_url in err
    left = state(tmp_path)
    assert session.session_url in [known.url for known in (left.session, *left.retired) if known]


def test_a_second_signal_makes_start_print_the_session(session: JupyterSession, clinder: Start) -> None:
    session.overrides["POST", "api/kernels"] = lambda _request, connection: connection.hold()
    process = clinder("start", "--config", "clinder.toml", "--json")
    eventually(lambda: session.asked(f"{session.base}api/kernels"), "the kernel is started")
    session.mode = "503"
    process.signal(signal.SIGINT)
    time.sleep(ONE_WISH_S)
    process.signal(signal.SIGINT)
    _, out, _ = process.ended()
    document = json.loads(out)
    assert document["error"]["kind"] == "interrupted"
    assert document["session"]["token"] == TOKEN


def test_a_signal_interrupts_the_wait_for_the_lock(hub: Server, session: JupyterSession, clinder: Start) -> None:
    hub.handler = Pausing(WAITING)
    clinder("up").await_words("Waiting")
    process = clinder("down")
    process.await_words("waiting for clinder up (process")
    process.signal(signal.SIGTERM)
    assert process.ended()[0] == 143


def test_down_waits_for_up_and_then_stops_its_session(
    hub: Server, session: JupyterSession, clinder: Start, tmp_path: Path
) -> None:
    hub.handler = at = Pausing(BUILT, then=session.ready())
    up = clinder("up")
    up.await_words("Found built image")
    down = clinder("down")
    down.await_words("waiting for clinder up")
    at.go_on()
    assert up.ended()[0] == 0
    code, _, err = down.ended()
    assert code == 0
    assert f"stopped: {session.session_url}" in err
    assert state(tmp_path).session is None


def test_a_killed_up_releases_the_lock_and_leaves_a_pending_launch(
    hub: Server, session: JupyterSession, clinder: Start
) -> None:
    hub.handler = Pausing(WAITING)
    killed = clinder("up")
    killed.await_words("Waiting")
    killed.kill()
    killed.ended()
    hub.handler = session.launch()
    code, out, err = clinder("up").ended()
    assert (code, out.strip()) == (0, session.session_url)
    assert f"(process {killed.pid} of " in err
    assert "never finished" in err


def test_an_ignored_hangup_stays_ignored(hub: Server, session: JupyterSession, clinder: Start) -> None:
    hub.handler = at = Pausing(WAITING, then=BUILT + session.ready())
    process = clinder("up", under=("nohup",))
    process.await_words("Waiting")
    process.signal(signal.SIGHUP)
    at.go_on()
    assert process.ended()[0] == 0


def test_the_exit_status_of_a_failed_build_is_five(hub: Server, clinder: Start) -> None:
    hub.handler = stream(event("failed", "no\n::set-output name=x::y\n"))
    code, out, err = clinder("up").ended()
    assert (code, out) == (5, "")
    assert not any(line.strip().startswith("::") for line in err.splitlines())
