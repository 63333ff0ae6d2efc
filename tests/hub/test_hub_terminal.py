"""A terminal that closes during a launch: this only ends the command if its signal does."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from hub.servers import LIMIT_S, JupyterSession, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.servers import Connection

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
LAUNCHING = b"aunching server"


@dataclass
class Command:
    """A command on a terminal that can be closed; its stdout is a file."""

    pid: int
    terminal: int
    stdout: Path

    def await_shown(self, words: bytes) -> None:
        shown = b""
        while words not in shown:
            shown += os.read(self.terminal, 65536)

    def close_terminal(self) -> None:
        os.close(self.terminal)

    def await_end(self) -> int:
        deadline = time.monotonic() + LIMIT_S
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)


def up(folder: Path, hub: Server, term: str, on_hangup: signal.Handlers) -> Command:
    import pty

    stdout = folder / "stdout"
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, on_hangup)
        os.chdir(folder)
        os.dup2(os.open(stdout, os.O_CREAT | os.O_WRONLY), 1)
        os.environ["TERM"] = term
        command = [sys.executable, "-m", "clinder", "up", "--hub", hub.url, "--repo", "org/name"]
        os.execv(sys.executable, command)
    return Command(pid, terminal, stdout)


@dataclass
class Gate:
    """Blocks the hub until the terminal is closed."""

    is_open: bool = False

    def wait(self, connection: Connection) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not self.is_open and time.monotonic() < deadline:
            connection.wait(0.02)


@pytest.fixture
def gate(hub: Server, session: JupyterSession) -> Iterator[Gate]:
    gate = Gate()
    hub.handler = session.launch(gate.wait)
    yield gate
    gate.is_open = True


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_launch_outlives_its_terminal_if_hangups_are_ignored(
    tmp_path: Path, hub: Server, session: JupyterSession, gate: Gate, term: str
) -> None:
    command = up(tmp_path, hub, term, signal.SIG_IGN)
    command.await_shown(LAUNCHING)
    command.close_terminal()
    gate.is_open = True
    assert command.await_end() == 0
    assert command.stdout.read_text() == f"{session.session_url}\n"
    assert not session.was_shut_down


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_hangup_ends_the_launch_with_status_129(
    tmp_path: Path, hub: Server, session: JupyterSession, gate: Gate, term: str
) -> None:
    command = up(tmp_path, hub, term, signal.SIG_DFL)
    command.await_shown(LAUNCHING)
    command.close_terminal()
    gate.is_open = True
    assert command.await_end() == 128 + signal.SIGHUP
    assert session.was_shut_down
