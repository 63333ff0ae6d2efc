"""A command run under clinder: its terminal, its signals, its process group and its exit status are its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinder.errors import CommandNotExecutableError, CommandNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

_POLL_S = 0.05
_GRACE_S = 10.0
"""How long a command may take to end after SIGTERM before it is killed."""
_FORWARDED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def find_command(name: str) -> None:
    """See that a command is there before anything is done for it.

    Raises:
        CommandNotFoundError: there is no such program.
        CommandNotExecutableError: it is there, but cannot be executed.
    """
    if shutil.which(name) is not None:
        return
    if os.path.dirname(name) and Path(name).exists():  # noqa: PTH120  # as typed: `./x` is looked up otherwise than `x`
        raise CommandNotExecutableError(f"{name} cannot be executed")
    raise CommandNotFoundError(f"{name}: there is no such command")


class Child:
    """A running command in a process group of its own, which has the terminal if clinder had it."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start the command.

        Args:
            command: the program and its arguments; no shell reads them.
            env: its whole environment.

        Raises:
            CommandNotFoundError: there is no such program.
            CommandNotExecutableError: it cannot be executed.
        """
        self._terminal = _Terminal()
        self._signals = 0
        try:
            self._process = subprocess.Popen(list(command), env=dict(env), **_own_group())
        except FileNotFoundError:
            raise CommandNotFoundError(f"{command[0]}: there is no such command") from None
        except OSError as error:
            raise CommandNotExecutableError(f"{command[0]} cannot be executed: {error.strerror}") from None
        self._terminal.give_to(self._process.pid)

    def wait(self, *, is_over: Callable[[], bool]) -> int:
        """Wait for the command to end, handing on the signals that clinder gets meanwhile.

        A second signal kills the command, if it still runs.

        Args:
            is_over: asked all the time; true ends the command, SIGTERM first.

        Returns:
            Its exit status; 128 and the signal's number if one killed it.
        """
        ending_at: float | None = None
        try:
            with self._forwarding():
                while (status := self._poll()) is None:
                    if ending_at is None and is_over():
                        ending_at = time.monotonic()
                        self._signal(signal.SIGTERM)
                    if ending_at is not None and time.monotonic() - ending_at >= _GRACE_S:
                        self._kill()
                    time.sleep(_POLL_S)
                if ending_at is not None:
                    self._kill()  # what is left of its group
                return status
        finally:
            self._terminal.take_back()

    def _poll(self) -> int | None:
        """Look whether it has ended; if it was stopped (Ctrl-Z), stop with it, and go on with it."""
        if sys.platform == "win32":
            return self._process.poll()
        pid, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            self._terminal.take_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._terminal.give_to(self._process.pid)
            self._signal(signal.SIGCONT)
            return None
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        return code if code >= 0 else 128 - code

    @contextlib.contextmanager
    def _forwarding(self) -> Iterator[None]:
        previous = {number: signal.getsignal(number) for number in _FORWARDED}
        for number, handler in previous.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._forward)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._kill()
        else:
            self._signal(number)

    def _signal(self, number: int) -> None:
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
            return
        self._signal(signal.SIGKILL)


def _own_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


class _Terminal:
    """The terminal, if there is one and clinder is in its foreground: it can be handed to another process group."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        if sys.platform == "win32":
            return
        with contextlib.suppress(OSError):
            descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
            if os.tcgetpgrp(descriptor) == os.getpgrp():
                self._descriptor = descriptor
            else:
                os.close(descriptor)

    def give_to(self, group: int) -> None:
        """Put a process group into the foreground; wake it, as it may have asked for the terminal too early."""
        if self._descriptor is not None and sys.platform != "win32":
            self._set(self._descriptor, group)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGCONT)

    def take_back(self) -> None:
        """Be in the foreground again."""
        if self._descriptor is not None and sys.platform != "win32":
            self._set(self._descriptor, os.getpgrp())

    def _set(self, descriptor: int, group: int) -> None:
        # Who changes this from the background is stopped by SIGTTOU, unless that is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
