"""The installed command, interrupted by real signals at every relevant moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from hub.servers import (
    KEEPALIVE,
    LIMIT_S,
    TOKEN,
    Connection,
    Handler,
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
BUILT = event("built", "ok\n")
LAUNCHING = event("launching", "Launching server...\n")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def clinder(hub: Server, tmp_path: Path) -> Iterator[Start]:
    """Start the command in its own folder, with short timeouts."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "clinder.toml").write_text(
        f'hub = "{hub.url}"\nrepo = "org/name"\nref = "main"\n'
        'timeouts = { connect = "5s", silence = "20s", build = "20s", launch = "20s", stop = "5s" }\n'
        "retry = { attempts = 3 }\n"
    )

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "clinder", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out, err


def state(folder: Path) -> State:
    from clinder.state import StateFolder

    return StateFolder(folder / ".clinder").read()


def pausing(*pieces: bytes, reached: list[float], then: bytes | None = None) -> Handler:
    """Send these pieces, record that they were sent, then wait until the client disconnects or `then` is due."""

    def handle(_request: Request, connection: Connection) -> None:
        def note(connection: Connection) -> None:
            connection.wait(0.2)
            reached.append(time.monotonic())
            connection.wait(LIMIT_S if then is None else 1.0)

        play(connection, *pieces, note, then or KEEPALIVE)

    return handle


COMMANDS = [("up",), ("start", "--config", "clinder.toml")]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", COMMANDS, ids=["up", "start"])
def test_before_built_a_signal_exits_at_once(
    hub: Server, clinder: Start, tmp_path: Path, command: tuple[str, ...], number: int, status: int
) -> None:
    reached: list[float] = []
    hub.handler = pausing(WAITING, reached=reached)
    process = clinder(*command)
    eventually(lambda: reached, "the build is under way")
    process.send_signal(number)
    signalled = time.monotonic()
    code, out, err = ended(process)
    assert (code, out) == (status, "")
    assert time.monotonic() - signalled < 5
    assert "no session was started" in err
    assert state(tmp_path).pending is None


@pytest.mark.parametrize("command", COMMANDS, ids=["up", "start"])
@pytest.mark.parametrize("pieces", [(WAITING, BUILT), (BUILT, LAUNCHING)], ids=["built", "launching"])
def test_after_built_a_signal_waits_for_the_session_and_stops_it(
    hub: Server,
    session: JupyterSession,
    clinder: Start,
    tmp_path: Path,
    command: tuple[str, ...],
    pieces: tuple[bytes, ...],
) -> None:
    reached: list[float] = []
    hub.handler = pausing(*pieces, reached=reached, then=session.ready())
    process = clinder(*command)
    eventually(lambda: reached, "the launch is under way")
    process.send_signal(signal.SIGTERM)
    code, out, _ = ended(process)
    assert (code, out) == (143, "")
    assert session.was_shut_down
    assert not session.asked(f"{session.base}api/kernels"), "a kernel was started"
    assert state(tmp_path).session is None
    assert state(tmp_path).retired == ()


def test_a_session_that_is_not_ready_in_time_is_reported(hub: Server, clinder: Start) -> None:
    reached: list[float] = []
    hub.handler = pausing(BUILT, LAUNCHING, reached=reached)
    process = clinder("up", "--timeouts-stop", "0.5s")
    eventually(lambda: reached, "the launch is under way")
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert "did not come up in time to stop it" in err
    assert "The hub launches it all the same" in err


def test_a_second_signal_exits_at_once_and_reports_possible_orphans(hub: Server, clinder: Start) -> None:
    reached: list[float] = []
    hub.handler = pausing(BUILT, LAUNCHING, reached=reached)
    process = clinder("up")
    eventually(lambda: reached, "the launch is under way")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two simultaneous signals would count as one
    signalled = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert time.monotonic() - signalled < 3
    assert "A session may be left on" in err


def test_a_launch_that_fails_after_a_signal_is_not_retried(hub: Server, clinder: Start) -> None:
    reached: list[float] = []
    hub.handler = pausing(BUILT, reached=reached, then=event("failed", "no\n", status_code=500))
    process = clinder("up")
    eventually(lambda: reached, "the launch is under way")
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
    assert len(hub.requests) == 1


def test_a_signal_ends_the_pause_before_the_next_attempt(hub: Server, clinder: Start) -> None:
    hub.handler = lambda _request, connection: connection.html(503)
    process = clinder("up", "--retry-backoff", "60s", "--timeouts-build", "10m")
    eventually(lambda: hub.requests, "the first attempt")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 130
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
    process.send_signal(signal.SIGINT)
    code, out, _ = ended(process)
    assert (code, out) == (130, "")
    assert time.monotonic() - signalled < 8
    assert session.was_shut_down
    assert state(tmp_path).session is None


def test_a_second_signal_during_verification_leaves_the_session_recorded(
    session: JupyterSession, clinder: Start, tmp_path: Path
) -> None:
    session.overrides["POST", "api/kernels"] = lambda _request, connection: connection.hold()
    process = clinder("up")
    eventually(lambda: session.asked(f"{session.base}api/kernels"), "the kernel is started")
    session.mode = "503"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    signalled = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert time.monotonic() - signalled < 3
    assert session.session_url in err
    left = state(tmp_path)
    assert session.session_url in [known.url for known in (left.session, *left.retired) if known]


def test_a_second_signal_makes_start_print_the_session(session: JupyterSession, clinder: Start) -> None:
    session.overrides["POST", "api/kernels"] = lambda _request, connection: connection.hold()
    process = clinder("start", "--config", "clinder.toml", "--json")
    eventually(lambda: session.asked(f"{session.base}api/kernels"), "the kernel is started")
    session.mode = "503"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, out, _ = ended(process)
    document = json.loads(out)
    assert document["error"]["kind"] == "interrupted"
    assert document["session"]["token"] == TOKEN


def test_a_signal_interrupts_the_wait_for_the_lock(hub: Server, session: JupyterSession, clinder: Start) -> None:
    reached: list[float] = []
    hub.handler = pausing(WAITING, reached=reached)
    clinder("up")
    eventually(lambda: reached, "the first holds the lock")
    process = clinder("down")
    assert process.stderr is not None
    assert "waiting for clinder up (process" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


def test_down_waits_for_up_and_then_stops_its_session(
    hub: Server, session: JupyterSession, clinder: Start, tmp_path: Path
) -> None:
    reached: list[float] = []
    hub.handler = pausing(BUILT, reached=reached, then=session.ready())
    up = clinder("up")
    eventually(lambda: reached, "the launch is under way")
    down = clinder("down")
    assert ended(up)[0] == 0
    code, _, err = ended(down)
    assert code == 0
    assert f"stopped: {session.session_url}" in err
    assert state(tmp_path).session is None


def test_a_killed_up_releases_the_lock_and_leaves_a_pending_launch(
    hub: Server, session: JupyterSession, clinder: Start
) -> None:
    reached: list[float] = []
    hub.handler = pausing(WAITING, reached=reached)
    killed = clinder("up")
    eventually(lambda: reached, "the build is under way")
    killed.kill()
    ended(killed)
    hub.handler = session.launch()
    code, out, err = ended(clinder("up"))
    assert (code, out.strip()) == (0, session.session_url)
    assert f"(process {killed.pid} of " in err
    assert "never finished" in err


def test_an_ignored_hangup_stays_ignored(hub: Server, session: JupyterSession, tmp_path: Path) -> None:
    reached: list[float] = []
    hub.handler = pausing(WAITING, reached=reached, then=BUILT + session.ready())
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "clinder", "up", "--repo", "org/name", "--hub", hub.url],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: reached, "the build is under way")
    process.send_signal(signal.SIGHUP)
    assert ended(process)[0] == 0


def test_the_exit_status_of_a_failed_build_is_five(hub: Server, clinder: Start) -> None:
    hub.handler = stream(event("failed", "no\n::set-output name=x::y\n"))
    code, out, err = ended(clinder("up"))
    assert (code, out) == (5, "")
    assert not any(line.strip().startswith("::") for line in err.splitlines())
