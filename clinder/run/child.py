"""Run a command as a child with its own process group; pass on the terminal, signals and exit status."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from clinder.model.display import show_path
from clinder.model.errors import CommandNotExecutableError, CommandNotFoundError
from clinder.model.wording import os_hint, os_reason

if sys.platform != "win32":
    import termios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType, TracebackType

_POLL_S = 0.05
_GRACE_S = 10.0
"""How long a command may take to exit after SIGTERM before it is killed."""
_SIGNAL_STATUS = 128
"""An exit status above this stands for a signal, as in shells."""
_FORWARDED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def find_command(name: str) -> None:
    """Check that a command exists, before a session is launched for it.

    Raises:
        CommandNotFoundError: the program does not exist.
        CommandNotExecutableError: it exists, but cannot be executed.
    """
    if shutil.which(name) is not None:
        return
    # Not with Path, which would turn `./x` into `x`, and whose `exists` raises if a name is too long.
    if os.path.dirname(name) and os.path.exists(name):  # noqa: PTH110, PTH120
        raise CommandNotExecutableError(f"{show_path(name)} cannot be executed")
    raise CommandNotFoundError(f"{show_path(name)}: command not found")


class Child:
    """A running command in its own process group, in the foreground of the terminal if clinder was.

    A context manager: on exit, a command that is still running is killed.

    Attributes:
        is_signalled: whether a signal sent to clinder was forwarded to it.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start the command.

        Args:
            command: the program and its arguments; no shell is involved.
            env: its complete environment.

        Raises:
            CommandNotFoundError: the program does not exist.
            CommandNotExecutableError: it cannot be executed.
        """
        self.is_signalled = False
        self._terminal = _Terminal()
        try:
            self._process = subprocess.Popen(list(command), env=dict(env), **_own_group())
        except FileNotFoundError:
            find_command(command[0])
            raise CommandNotExecutableError(
                f"{command[0]} cannot be executed: its interpreter does not exist"
            ) from None
        except OSError as error:
            raise CommandNotExecutableError(
                f"{command[0]} cannot be executed: {os_reason(error)}", hint=os_hint(error)
            ) from None
        self._terminal.give_to(self._process.pid)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._kill()
            self._process.wait()
            self._terminal.take_back(restores_modes=True)
        self._terminal.close()

    def wait(self, *, is_over: Callable[[], bool], signalled: Callable[[], int | None] = lambda: None) -> int:
        """Wait for the command to exit; meanwhile, forward the signals that clinder receives.

        A second signal kills the command if it is still running.

        Args:
            is_over: called repeatedly; when it returns true, the command is ended, first with SIGTERM.
            signalled: called once; returns the signal that was received before this call, if any.

        Returns:
            The exit status; 128 plus the signal number if a signal killed the command.
        """
        ending_at: float | None = None
        status: int | None = None
        try:
            with self._forwarding():
                if (number := signalled()) is not None:
                    self._forward(number, None)
                while (status := self._poll()) is None:
                    if ending_at is None and is_over():
                        ending_at = time.monotonic()
                        self._signal(signal.SIGTERM)
                    if ending_at is not None and time.monotonic() - ending_at >= _GRACE_S:
                        self._kill()
                    time.sleep(_POLL_S)
                if ending_at is not None:
                    self._kill()  # the rest of its group
                return status
        finally:
            self._terminal.take_back(restores_modes=status is None or status > _SIGNAL_STATUS)

    def _poll(self) -> int | None:
        """Get the exit status, if there is one; if it was stopped (Ctrl-Z), stop clinder too, and resume both."""
        if sys.platform == "win32":
            return self._process.poll()
        pid, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            wants_terminal = os.WSTOPSIG(status) in (signal.SIGTTIN, signal.SIGTTOU)
            if not (wants_terminal and self._terminal.is_ours):  # as after `&` and then `fg`
                self._terminal.take_back()
                os.killpg(os.getpgrp(), signal.SIGTSTP)  # as the terminal does: also stops a script that runs clinder
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
        if self.is_signalled:
            self._kill()
        else:
            self.is_signalled = True
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
    """The controlling terminal, if any; clinder can give it to another process group while in the foreground."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._is_given = False
        self._modes: list[Any] = []
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)

    @property
    def is_ours(self) -> bool:
        """Whether clinder is in the foreground."""
        if self._descriptor is None or sys.platform == "win32":
            return False
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False

    def give_to(self, group: int) -> None:
        """Put a process group into the foreground if clinder is, and continue it: it may have been stopped before."""
        if self._descriptor is None or not self.is_ours or sys.platform == "win32":
            return
        with contextlib.suppress(termios.error):
            self._modes = termios.tcgetattr(self._descriptor)
        self._set(self._descriptor, group)
        self._is_given = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGCONT)

    def take_back(self, *, restores_modes: bool = False) -> None:
        """Put clinder into the foreground again, if the terminal was given away.

        Args:
            restores_modes: restore the modes (such as echo) that a killed command could not restore itself.
        """
        if self._descriptor is None or not self._is_given or sys.platform == "win32":
            return
        self._set(self._descriptor, os.getpgrp())
        self._is_given = False
        if restores_modes and self._modes:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._modes)

    def close(self) -> None:
        """Close the terminal."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _set(self, descriptor: int, group: int) -> None:
        if sys.platform == "win32":
            return
        # Changing this from the background stops the process with SIGTTOU, unless that is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
