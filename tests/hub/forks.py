"""Commands that start immediately in separate processes: forked from a Python that has imported everything.

A process can be killed at its n-th step (a file opened, renamed, synced or half written; a lock acquired; bytes sent
or received; a process started) or after a time, or be started together with others. This file is also the program that
forks.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT_S = 120
"""The time limit of a command; SIGALRM kills it afterwards."""
KILLED = -getattr(signal, "SIGKILL", 9)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (negative: the signal) and its output."""

    pid: int
    status: int
    out: str
    err: str


class Forks:
    """The Python process that forks; a context manager.

    Args:
        folder: the working directory of the commands.
        scratch: a folder for their output.
        obeys_modes: drop root's right to ignore the modes of files, if the tests run as root.
    """

    def __init__(self, folder: Path, scratch: Path, *, obeys_modes: bool = False) -> None:
        self._folder = folder
        self._scratch = scratch
        self._options = ["--obey-modes"] if obeys_modes else []

    def __enter__(self) -> Self:
        self._python = subprocess.Popen(
            [sys.executable, __file__, str(self._folder), str(self._scratch), *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._python.communicate(timeout=60)

    def run(self, *arguments: str, kill_at: int = 0, kill_after_s: float = 0.0) -> Ended:
        """Run a command until it ends, or kill it at its n-th step or after a number of seconds."""
        return self._ask([arguments], kill_at, kill_after_s)[0]

    def run_at_once(self, commands: Sequence[Sequence[str]]) -> list[Ended]:
        """Run several commands that start at the same moment."""
        return self._ask(commands, 0, 0.0)

    def _ask(self, commands: Sequence[Sequence[str]], kill_at: int, kill_after_s: float) -> list[Ended]:
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        wanted = {"commands": [list(command) for command in commands], "kill_at": kill_at, "kill_after_s": kill_after_s}
        self._python.stdin.write(json.dumps(wanted) + "\n")
        self._python.stdin.flush()
        ended = json.loads(self._python.stdout.readline())
        return [
            Ended(pid, status, self._printed(number, "out"), self._printed(number, "err"))
            for number, (pid, status) in enumerate(ended)
        ]

    def _printed(self, number: int, name: str) -> str:
        return (self._scratch / f"{number}.{name}").read_text(encoding="utf-8", errors="replace")


# The rest runs in the forked Python.


def _serve(folder: Path, scratch: Path) -> None:
    """Fork the commands of each input line, wait for them, and answer with a line."""
    answers = os.fdopen(os.dup(1), "w")
    _redirect(scratch, "warming")
    _warm_up(scratch)
    os.chdir(folder)
    if "--obey-modes" in sys.argv:
        _drop_capabilities()
    for line in sys.stdin:
        wanted: dict[str, Any] = json.loads(line)
        children = _fork(wanted["commands"], wanted["kill_at"], folder, scratch)
        if wanted["kill_after_s"]:
            time.sleep(wanted["kill_after_s"])
            os.kill(children[0], signal.SIGKILL)  # not yet waited for, so its pid cannot have been reused
        ended = [(child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children]
        answers.write(json.dumps(ended) + "\n")
        answers.flush()


def _fork(commands: list[list[str]], kill_at: int, folder: Path, scratch: Path) -> list[int]:
    from clinder.cli import invoke

    held, let_go = os.pipe()
    children = []
    for number, command in enumerate(commands):
        child = os.fork()
        if child == 0:
            os.close(let_go)
            _redirect(scratch, str(number))
            if hasattr(signal, "alarm"):
                signal.alarm(LIMIT_S)
            os.read(held, 1)  # returns when the last command has been forked
            if kill_at:
                _kill_at(kill_at, folder)
            _leave(invoke(command))
        children.append(child)
    os.close(held)
    os.close(let_go)
    return children


def _warm_up(scratch: Path) -> None:
    """Import everything that the commands need, and make the libraries do their one-time work."""
    import psutil  # type: ignore[import-untyped,unused-ignore]  # noqa: F401

    import clinder.hubs.embedded
    import clinder.localhub.sessions
    import clinder.net.jupyter
    import clinder.output.documents
    import clinder.output.text
    from clinder.cli import invoke

    clinder.net.jupyter._POLL_S = 0.01  # these servers need no protection from load
    os.chdir(scratch)
    for command in ("up", "status", "plan", "down"):
        invoke([command, "--repo", "org/name", "--hub", "http://127.0.0.1:9", "--retry-attempts", "1"])
    gc.collect()
    gc.freeze()


def _drop_capabilities() -> None:
    """Give up root's privileges (capabilities(7)); other users have none to drop."""
    if os.geteuid() == 0:
        import ctypes
        import struct

        version_3, this_process = 0x20080522, 0
        header, none = struct.pack("Ii", version_3, this_process), struct.pack("6I", *[0] * 6)
        assert ctypes.CDLL(None).capset(header, none) == 0


def _redirect(scratch: Path, stem: str) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(scratch / f"{stem}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(file, descriptor)


def _leave(status: int) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


_FEW = 40
_AUDITED = {
    "os.rename",
    "os.link",
    "os.remove",
    "os.mkdir",
    "os.chmod",
    "fcntl.flock",
    "socket.connect",
    "subprocess.Popen",
}


class _Steps:
    """Counts the steps of this process, and kills it right before a given one."""

    def __init__(self, last: int, folder: Path) -> None:
        self._left = last
        self._folder = str(folder)

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in _AUDITED or (name == "open" and self._is_ours(str(arguments[0]))):
            self.step()

    def _is_ours(self, opened: str) -> bool:
        """Whether a path is in the folder, or is relative to an open folder."""
        return opened.startswith(self._folder) or "/" not in opened

    def stepping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.step()
            return function(*arguments, **more)

        return call


class _HalfByHalf:
    """A file whose every write of more than a few bytes reaches the disk in two steps."""

    def __init__(self, file: Any, steps: _Steps) -> None:
        self._file = file
        self._steps = steps

    def write(self, text: Any) -> None:
        half = len(text) // 2 if len(text) > _FEW else 0
        for part in (text[:half], text[half:]):
            if half:
                self._steps.step()
            self._file.write(part)
            self._file.flush()

    def __enter__(self) -> _HalfByHalf:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _kill_at(last: int, folder: Path) -> None:
    """Make this process kill itself right before its `last`-th step."""
    import socket

    steps = _Steps(last, folder)
    fdopen = os.fdopen
    os.fdopen = lambda *arguments, **more: _HalfByHalf(fdopen(*arguments, **more), steps)  # type: ignore[assignment]
    os.fsync = steps.stepping(os.fsync)
    os.write = steps.stepping(os.write)
    for name in ("sendall", "recv_into"):
        setattr(socket.socket, name, steps.stepping(getattr(socket.socket, name)))
    sys.addaudithook(steps.audit)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
