"""A command as a child of another: terminal, job control and exit, with real processes in a real terminal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from clinder.run import child
from clinder.run.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="terminals and signals are a POSIX matter")
LIMIT_S = 30.0

RUN = """
import os, sys
from clinder.run.child import Child
with Child([sys.executable, "-c", sys.argv[1]], env=dict(os.environ)) as command:
    status = command.wait(is_over=lambda: os.path.exists("over"))
echo = os.tcgetpgrp(0) == os.getpgrp()
print("status", status, "terminal is back", echo, flush=True)
"""


class Terminal:
    """A program in a pseudo-terminal; `last_words` are typed to end it."""

    def __init__(self, *command: str, folder: str, last_words: str = "") -> None:
        import pty

        self._last_words = last_words
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execv(command[0], command)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def until(self, text: str, *, typing: str = "") -> None:
        """Read until this is shown; meanwhile, type `typing` repeatedly."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.shown:
            self.type(typing)
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            assert self._read() or text in self.shown, self.shown
        self.shown = self.shown.partition(text)[2]

    def _read(self) -> bool:
        """Read what is shown within a moment; false once there is nobody left to show anything."""
        if select.select([self._descriptor], [], [], 0.1)[0]:
            try:
                self.shown += os.read(self._descriptor, 65536).decode()
            except OSError:
                return False
        return True

    def end(self) -> None:
        """Wait until the program has ended and written down its coverage; kill it if it does not end."""
        with contextlib.suppress(OSError):
            self.type(self._last_words)
        deadline = time.monotonic() + LIMIT_S
        while self._read() and time.monotonic() < deadline:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self._descriptor)
        os.waitpid(self.pid, 0)


@pytest.fixture
def at_terminal(tmp_path: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.end()


def run(at_terminal: list[Terminal], folder: Path, code: str) -> Terminal:
    at_terminal.append(Terminal(sys.executable, "-c", RUN, code, folder=str(folder)))
    return at_terminal[-1]


def test_the_command_reads_from_the_terminal(at_terminal: list[Terminal], tmp_path: Path) -> None:
    terminal = run(at_terminal, tmp_path, "print('heard', input('say: '))")
    terminal.until("say: ")
    terminal.type("hello\n")
    terminal.until("heard hello")
    terminal.until("status 0 terminal is back True")


def test_ctrl_c_only_reaches_the_command(at_terminal: list[Terminal], tmp_path: Path) -> None:
    code = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: (print("caught"), exit(5)))
print("ready", flush=True)
time.sleep(30)
"""
    terminal = run(at_terminal, tmp_path, code)
    terminal.until("ready")
    terminal.type("\x03")
    terminal.until("caught")
    terminal.until("status 5 terminal is back True")


def test_a_command_killed_by_ctrl_c_ends_with_130(at_terminal: list[Terminal], tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(2, signal.SIG_DFL); print('ready', flush=True); time.sleep(30)"
    terminal = run(at_terminal, tmp_path, code)
    terminal.until("ready")
    terminal.type("\x03")
    terminal.until("status 130 terminal is back True")


def test_echo_is_restored_after_a_command_is_killed(at_terminal: list[Terminal], tmp_path: Path) -> None:
    code = "import os, tty; tty.setraw(0); print('raw', flush=True); os.kill(os.getpid(), 9)"
    terminal = run(at_terminal, tmp_path, code + "\nimport time; time.sleep(30)")
    terminal.until("status 137 terminal is back True\r\n")  # \r\n: the terminal translates line ends again


def shell(at_terminal: list[Terminal], folder: Path) -> Terminal:
    bash = ["/bin/bash", "--norc", "--noprofile", "-i"]
    at_terminal.append(Terminal(*bash, folder=str(folder), last_words="wait; exit\n"))
    terminal = at_terminal[-1]
    terminal.type("PS1='> '; bind 'set enable-bracketed-paste off' 2>/dev/null; echo be''gun\n")
    terminal.until("begun")
    return terminal


def write_program(folder: Path, code: str) -> str:
    path = folder / "run.py"
    path.write_text(f"import sys\nsys.argv[1:] = [{code!r}]\n{RUN}")
    return f"{sys.executable} {path}"


def test_ctrl_z_stops_both_and_fg_resumes_both(at_terminal: list[Terminal], tmp_path: Path) -> None:
    command = write_program(tmp_path, "print('heard', input('say: '))")
    terminal = shell(at_terminal, tmp_path)
    terminal.type(f"{command}\n")
    terminal.until("say: ")
    terminal.type("\x1a")
    terminal.until("Stopped")
    terminal.type("echo shell is he''re\n")
    terminal.until("shell is here")
    terminal.type("fg\n")
    terminal.until("run.py")
    terminal.type("hello\n")
    terminal.until("heard hello")
    terminal.until("status 0 terminal is back True")


def test_in_the_background_it_does_not_take_the_terminal_from_the_shell(
    at_terminal: list[Terminal], tmp_path: Path
) -> None:
    code = "import os, time; print('rea' + 'dy', flush=True)\n"
    command = write_program(tmp_path, code + "while not os.path.exists('go'): time.sleep(0.05)\nprint('went')")
    terminal = shell(at_terminal, tmp_path)
    terminal.type(f"{command}\n")
    terminal.until("ready")
    terminal.type("\x1a")
    terminal.until("Stopped")
    terminal.type("bg\n")
    terminal.type("echo shell is he''re; touch go\n")
    terminal.until("shell is here")
    terminal.until("went")
    terminal.until("status 0")
    terminal.type("echo st''ill\n")
    terminal.until("still")


def test_a_command_started_in_the_background_gets_the_terminal_with_fg(
    at_terminal: list[Terminal], tmp_path: Path
) -> None:
    command = write_program(tmp_path, "print('heard', input())")
    terminal = shell(at_terminal, tmp_path)
    terminal.type(f"{command} &\n")
    terminal.until("Stopped", typing="\n")  # the shell reports it with its next prompt
    terminal.type("fg\n")
    terminal.until("run.py")
    terminal.type("hello\n")
    terminal.until("heard hello")
    terminal.until("status 0 terminal is back True")


def test_a_command_that_ignores_sigterm_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(child, "_GRACE_S", 0.3)
    script = "trap '' TERM; sleep 30 & echo $! > pid; mv pid ready; wait; wait"
    monkeypatch.chdir(tmp_path)
    with Child(["sh", "-c", script], env=dict(os.environ)) as command:
        assert command.wait(is_over=(tmp_path / "ready").exists) == 137
    grandchild = int((tmp_path / "ready").read_text())
    deadline = time.monotonic() + LIMIT_S
    while _runs(grandchild):
        assert time.monotonic() < deadline, "the grandchild goes on"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_command_is_killed_when_its_block_exits_early(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/ready; sleep 30"
    with Child(["sh", "-c", script], env=dict(os.environ)):
        deadline = time.monotonic() + LIMIT_S
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert not _runs(int((tmp_path / "ready").read_text()))


def test_a_signal_received_before_the_command_started_is_forwarded() -> None:
    with Child(["sleep", "30"], env=dict(os.environ)) as command:
        assert command.wait(is_over=lambda: False, signalled=lambda: signal.SIGTERM) == 143
