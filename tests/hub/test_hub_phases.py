"""Signals and closed terminals in each phase of `up`, `start`, `run` and `down`: status, sessions and terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from clinder.state import StateFolder
from hub.servers import LIMIT_S, Connection, Piece, Request, event, eventually, play

if sys.platform != "win32":
    import pty
    import termios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clinder.state import State
    from hub.cluster import Cluster

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals need POSIX")
WAITING = event("waiting", "Waiting for build to start...\n")
BUILT = event("built", "Found built image, launching...\n")
LAUNCHING = event("launching", "Launching server...\n")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
OPTIONS = ["--repo=org/name", "--ref=main", "--timeouts-stop=3s", "--timeouts-connect=6s", "--session-warm=off"]
COMMANDS = {
    "up": ["up", *OPTIONS],
    "start": ["start", *OPTIONS],
    "run": ["run", *OPTIONS, "--", "touch", "ran"],
}
AT_ONCE_S = 2.0


@dataclass
class Phase:
    """A launch that stops at one point until `go_on` is called or its client disconnects.

    Attributes:
        handler: the hub's handler.
        is_reached: whether the launch has reached that point.
    """

    name: str
    cluster: Cluster
    is_reached: bool = False
    goes_on: bool = False

    @property
    def is_built(self) -> bool:
        return self.name in ("built", "launching", "answering")

    def stand(self, connection: Connection) -> None:
        self.is_reached = True
        while not self.goes_on:
            if connection.is_disconnected():
                raise ConnectionResetError("the client disconnected")
            time.sleep(0.01)

    def handler(self, _request: Request, connection: Connection) -> None:
        if self.name == "connecting":
            self.stand(connection)
            return
        if not self.is_built:
            play(connection, WAITING, self.stand)
            return
        made = self.cluster.add()
        made.mode = "503" if self.name == "answering" else "running"
        ready = event("ready", "up\n", url=made.url, token=made.token)
        before: dict[str, list[Piece]] = {
            "built": [BUILT, self.stand, LAUNCHING],
            "launching": [BUILT, LAUNCHING, self.stand],
        }
        play(connection, *before.get(self.name, [BUILT, LAUNCHING]), ready)

    def await_reached(self) -> None:
        if self.name == "answering":
            eventually(
                lambda: any(known.was_asked for known in self.cluster.sessions.values()),
                "the session is being verified",
            )
        else:
            eventually(lambda: self.is_reached, f"the launch is {self.name}")
        time.sleep(0.2)  # time for the client to read the last event

    def go_on(self) -> None:
        self.goes_on = True
        for known in self.cluster.sessions.values():
            known.mode = "running" if known.mode == "503" else known.mode


PHASES = ["connecting", "building", "built", "launching", "answering"]


@pytest.fixture
def started(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "clinder", *with_hub(cluster, list(arguments))]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def with_hub(cluster: Cluster, arguments: list[str]) -> list[str]:
    return [arguments[0], f"--hub={cluster.url}", *arguments[1:]] if arguments[0] != "down" else arguments


def state(folder: Path) -> State:
    return StateFolder(folder / ".clinder").read()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_launch_and_leaves_no_session(
    cluster: Cluster, started: Callable[..., subprocess.Popen[str]], tmp_path: Path, command: str, phase: str
) -> None:
    number = SIGNALS[(PHASES.index(phase) + list(COMMANDS).index(command)) % len(SIGNALS)]
    at = Phase(phase, cluster)
    cluster.build = at.handler
    process = started(*COMMANDS[command])
    at.await_reached()
    process.send_signal(number)
    began = time.monotonic()
    time.sleep(0.2)
    at.go_on() if at.is_built else None
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + number, err
    assert time.monotonic() - began < AT_ONCE_S
    assert out == ""
    assert "Traceback" not in err
    assert cluster.running == set()
    assert bool(cluster.sessions) == at.is_built
    left = state(tmp_path)
    assert (left.session, left.retired, left.pending) == (None, (), None)
    assert not (tmp_path / "ran").exists(), "the command was started"


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_signal_exits_at_once_and_reports_possible_orphans(
    cluster: Cluster, started: Callable[..., subprocess.Popen[str]], tmp_path: Path, phase: str
) -> None:
    at = Phase(phase, cluster)
    cluster.build = at.handler
    process = started(*COMMANDS["up"])
    at.await_reached()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # simultaneous signals count as one
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode in (130, 143), err
    assert time.monotonic() - began < AT_ONCE_S
    left = state(tmp_path)
    if phase in ("built", "launching"):
        assert f"A session may be left on {cluster.url}" in err
        assert left.pending is not None
    elif phase == "answering":
        assert [known.url for known in (left.session, *left.retired) if known] == list(cluster.running)
        assert next(iter(cluster.running)) in err
    else:
        assert (left.session, left.pending) == (None, None)


@pytest.mark.parametrize(
    ("second", "after_s"), [(signal.SIGHUP, 0.3), (signal.SIGTERM, 0.02)], ids=["hangup twice", "at once"]
)
def test_simultaneous_signals_count_as_one(
    cluster: Cluster, started: Callable[..., subprocess.Popen[str]], second: signal.Signals, after_s: float
) -> None:
    """A shell forwards the SIGHUP that the kernel also sends, and a supervisor may send two signals at a time."""
    at = Phase("launching", cluster)
    cluster.build = at.handler
    process = started(*COMMANDS["up"])
    at.await_reached()
    process.send_signal(signal.SIGHUP)
    time.sleep(after_s)
    process.send_signal(second)
    time.sleep(0.1)
    at.go_on()
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 129, err
    assert cluster.running == set(), "the session was not stopped"


# down


@pytest.fixture
def kept(cluster: Cluster, started: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> str:
    """The URL of a recorded session."""
    process = started(*COMMANDS["up"])
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return out.strip()


def held(known_path: str, cluster: Cluster, reached: list[bool]) -> None:
    """Make the cluster block requests for this path."""
    route = cluster.handler

    def handle(request: Request, connection: Connection) -> None:
        if request.path.endswith(known_path):
            reached.append(True)
            connection.hold()
        else:
            route(request, connection)

    cluster.handler = handle


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("phase", ["looking", "asking", "waiting"])
def test_a_signal_ends_down_and_forgets_nothing(
    cluster: Cluster,
    started: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    kept: str,
    phase: str,
    number: signal.Signals,
) -> None:
    reached: list[bool] = []
    route = cluster.handler
    if phase == "waiting":
        cluster.find(kept).survives = 1000
    else:
        held("api/status" if phase == "looking" else "api/shutdown", cluster, reached)
    process = started("down", "--timeouts-stop=20s", "--timeouts-connect=6s")
    eventually(lambda: reached or cluster.find(kept).survives not in (0, 1000), f"down is {phase}")
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + number, err
    assert time.monotonic() - began < AT_ONCE_S
    left = state(tmp_path)
    assert [known.url for known in (left.session, *left.retired) if known] == [kept]
    cluster.handler = route
    cluster.find(kept).survives = 0
    again = started("down")
    assert (again.communicate(timeout=LIMIT_S)[0], again.returncode) == ("", 0)
    assert cluster.running == set()
    assert state(tmp_path).retired == ()


# On a terminal


class Terminal:
    """A terminal with a command in the foreground."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.written = b""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="40")
            os.execv(sys.executable, [sys.executable, "-m", "clinder", *arguments])
        self.before = termios.tcgetattr(self.descriptor)

    def close(self) -> None:
        """Close the terminal; its file descriptor may be reused afterwards."""
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def await_end(self) -> int:
        """Read the output until the command has ended, and return its exit status."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            with contextlib.suppress(OSError):
                while (
                    self.descriptor >= 0
                    and select.select([self.descriptor], [], [], 0)[0]
                    and (piece := os.read(self.descriptor, 65536))
                ):
                    self.written += piece
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, self.written
            time.sleep(0.01)

    def is_sane(self) -> bool:
        """Whether the cursor is shown, the terminal modes are restored, and the last line is complete."""
        shows = self.written.rfind(b"\x1b[?25h") >= self.written.rfind(b"\x1b[?25l")
        return shows and termios.tcgetattr(self.descriptor) == self.before and self.written.endswith(b"\n")


@pytest.fixture
def terminal(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: str) -> Terminal:
        opened.append(Terminal(tmp_path, with_hub(cluster, list(arguments))))
        return opened[-1]

    yield open_one
    for one in opened:
        if one.descriptor >= 0:
            one.close()
        with contextlib.suppress(OSError):
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)


@pytest.mark.parametrize(("command", "phase"), [("up", "launching"), ("start", "building"), ("run", "building")])
def test_ctrl_c_restores_the_terminal(
    cluster: Cluster, terminal: Callable[..., Terminal], command: str, phase: str
) -> None:
    at = Phase(phase, cluster)
    cluster.build = at.handler
    shown = terminal(*COMMANDS[command])
    at.await_reached()
    shown.type(b"\x03")
    time.sleep(0.2)
    at.go_on() if at.is_built else None
    assert shown.await_end() == 130, shown.written
    assert shown.is_sane(), shown.written
    assert cluster.running == set()


def test_a_second_ctrl_c_restores_the_terminal(cluster: Cluster, terminal: Callable[..., Terminal]) -> None:
    at = Phase("launching", cluster)
    cluster.build = at.handler
    shown = terminal(*COMMANDS["up"])
    at.await_reached()
    shown.type(b"\x03")
    time.sleep(0.2)
    began = time.monotonic()
    shown.type(b"\x03\x03\x03")
    assert shown.await_end() == 130, shown.written
    assert time.monotonic() - began < AT_ONCE_S
    assert shown.is_sane(), shown.written
    assert b"A session may be left on" in shown.written.replace(b"\r\n", b" ")


@pytest.mark.parametrize(
    ("command", "phase"), [("up", "building"), ("up", "launching"), ("start", "launching"), ("run", "answering")]
)
def test_closing_the_terminal_ends_a_launch_and_leaves_no_session(
    cluster: Cluster, terminal: Callable[..., Terminal], tmp_path: Path, command: str, phase: str
) -> None:
    at = Phase(phase, cluster)
    cluster.build = at.handler
    shown = terminal(*COMMANDS[command])
    at.await_reached()
    shown.close()
    time.sleep(0.2)
    at.go_on() if at.is_built else None
    assert shown.await_end() == 128 + signal.SIGHUP
    eventually(lambda: cluster.running == set(), "the session is stopped")
    left = state(tmp_path)
    assert (left.session, left.retired, left.pending) == (None, (), None)


def test_closing_the_terminal_ends_down_and_forgets_nothing(
    cluster: Cluster, terminal: Callable[..., Terminal], tmp_path: Path, kept: str
) -> None:
    cluster.find(kept).survives = 1000
    shown = terminal("down", "--timeouts-stop=20s")
    eventually(lambda: cluster.find(kept).survives < 1000, "the shutdown is requested")
    shown.close()
    assert shown.await_end() == 128 + signal.SIGHUP
    left = state(tmp_path)
    assert [known.url for known in (left.session, *left.retired) if known] == [kept]
