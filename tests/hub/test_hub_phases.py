"""Signals and closed terminals in each phase of `up`, `start`, `run` and `down`: status, sessions and terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from pace import assert_took_under

from clinder.state import StateFolder
from hub.commands import ONE_WISH_S, Command, await_taken
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
        connection.wait_until(lambda: self.goes_on)

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

    def await_reached(self, launch: Command | Terminal) -> None:
        if self.name == "answering":
            eventually(
                lambda: any(known.was_asked for known in self.cluster.sessions.values()),
                "the session is being verified",
            )
        else:
            eventually(lambda: self.is_reached, f"the launch is {self.name}")
            launch.await_words(LAST_WORDS[self.name])

    def go_on(self) -> None:
        self.goes_on = True
        for known in self.cluster.sessions.values():
            known.mode = "running" if known.mode == "503" else known.mode


LAST_WORDS = {
    "connecting": "launching gh/org/name/main",
    "building": "Waiting for build",
    "built": "Found built image",
    "launching": "Launching server",
}
"""What a launch has said of each phase when it has taken all that the hub sent."""
PHASES = ["connecting", "building", "built", "launching", "answering"]


@pytest.fixture
def started(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    processes: list[Command] = []

    def start(*arguments: str) -> Command:
        processes.append(Command(tmp_path, *with_hub(cluster, list(arguments)), start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        process.dispose()


def with_hub(cluster: Cluster, arguments: list[str]) -> list[str]:
    return [arguments[0], f"--hub={cluster.url}", *arguments[1:]] if arguments[0] != "down" else arguments


def state(folder: Path) -> State:
    return StateFolder(folder / ".clinder").read()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_launch_and_leaves_no_session(
    cluster: Cluster, started: Callable[..., Command], tmp_path: Path, command: str, phase: str
) -> None:
    number = SIGNALS[(PHASES.index(phase) + list(COMMANDS).index(command)) % len(SIGNALS)]
    at = Phase(phase, cluster)
    cluster.build = at.handler
    process = started(*COMMANDS[command])
    at.await_reached(process)
    process.signal(number)
    began = time.monotonic()
    at.go_on() if at.is_built else None
    status, out, err = process.ended()
    assert status == 128 + number, err
    assert_took_under(time.monotonic() - began, AT_ONCE_S)
    assert out == ""
    assert "Traceback" not in err
    assert cluster.running == set()
    assert bool(cluster.sessions) == at.is_built
    left = state(tmp_path)
    assert (left.session, left.retired, left.pending) == (None, (), None)
    assert not (tmp_path / "ran").exists(), "the command was started"


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_signal_exits_at_once_and_reports_possible_orphans(
    cluster: Cluster, started: Callable[..., Command], tmp_path: Path, phase: str
) -> None:
    at = Phase(phase, cluster)
    cluster.build = at.handler
    process = started(*COMMANDS["up"])
    at.await_reached(process)
    process.signal(signal.SIGINT)
    time.sleep(ONE_WISH_S)
    process.signal(signal.SIGTERM)
    began = time.monotonic()
    status, _, err = process.ended()
    assert status in (130, 143), err
    assert_took_under(time.monotonic() - began, AT_ONCE_S)
    left = state(tmp_path)
    if phase in ("built", "launching"):
        assert f"A session may be left on {cluster.url}" in err
        assert left.pending is not None
    elif phase == "answering":
        assert [known.url for known in (left.session, *left.retired) if known] == list(cluster.running)
        assert next(iter(cluster.running)) in err
    else:
        assert (left.session, left.pending) == (None, None)


@pytest.mark.parametrize("second", [signal.SIGHUP, signal.SIGTERM], ids=["hangup twice", "at once"])
def test_simultaneous_signals_count_as_one(
    cluster: Cluster, started: Callable[..., Command], second: signal.Signals
) -> None:
    """A shell forwards the SIGHUP that the kernel also sends, and a supervisor may send two signals at a time."""
    at = Phase("launching", cluster)
    cluster.build = at.handler
    process = started(*COMMANDS["up"])
    at.await_reached(process)
    if second is signal.SIGHUP:
        process.signal(signal.SIGHUP)
        time.sleep(ONE_WISH_S)
        process.signal(signal.SIGHUP)
    else:
        process.send_signal(signal.SIGSTOP)  # so that it takes both at the same time
        for number in (signal.SIGHUP, second, signal.SIGCONT):
            process.send_signal(number)
        await_taken(process.pid, second)
    at.go_on()
    status, _, err = process.ended()
    assert status == 129, err
    assert cluster.running == set(), "its end was awaited"


# down


@pytest.fixture
def kept(cluster: Cluster, started: Callable[..., Command], tmp_path: Path) -> str:
    """The URL of a session that is recorded."""
    process = started(*COMMANDS["up"])
    status, out, err = process.ended()
    assert status == 0, err
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
    started: Callable[..., Command],
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
    process.signal(number)
    began = time.monotonic()
    status, _, err = process.ended()
    assert status == 128 + number, err
    assert_took_under(time.monotonic() - began, AT_ONCE_S)
    left = state(tmp_path)
    assert [known.url for known in (left.session, *left.retired) if known] == [kept]
    cluster.handler = route
    cluster.find(kept).survives = 0
    assert started("down").ended()[:2] == (0, "")
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

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C, and wait until the signal that comes of it is taken."""
        self.type(b"\x03")
        self.await_words("^C")
        await_taken(self.pid, signal.SIGINT)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while (
                self.descriptor >= 0
                and select.select([self.descriptor], [], [], 0)[0]
                and (piece := os.read(self.descriptor, 65536))
            ):
                self.written += piece

    def await_words(self, words: str) -> None:
        """Wait until this is written."""

        def is_written() -> bool:
            self._read()
            return words.encode() in self.written

        eventually(is_written, f"{words!r} is written")

    def await_end(self) -> int:
        """Read the output until the command has ended, and return its exit status."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._read()
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
    at.await_reached(shown)
    shown.press_ctrl_c()
    at.go_on() if at.is_built else None
    assert shown.await_end() == 130, shown.written
    assert shown.is_sane(), shown.written
    assert cluster.running == set()


def test_a_second_ctrl_c_restores_the_terminal(cluster: Cluster, terminal: Callable[..., Terminal]) -> None:
    at = Phase("launching", cluster)
    cluster.build = at.handler
    shown = terminal(*COMMANDS["up"])
    at.await_reached(shown)
    shown.press_ctrl_c()
    time.sleep(ONE_WISH_S)
    began = time.monotonic()
    shown.type(b"\x03\x03\x03")
    assert shown.await_end() == 130, shown.written
    assert_took_under(time.monotonic() - began, AT_ONCE_S)
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
    at.await_reached(shown)
    shown.close()
    await_taken(shown.pid, signal.SIGHUP)
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
