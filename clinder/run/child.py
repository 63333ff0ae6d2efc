"""A command run under clinder: its terminal, its signals, its process group and its exit status are its own."""

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
"""How long a command may take to end after SIGTERM before it is killed."""
_SIGNAL_STATUS = 128
"""Above it, as shells have it, an exit status stands for a signal."""
_FORWARDED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def find_command(name: str) -> None:
    """See that a command is there before anything is done for it.

    Raises:
        CommandNotFoundError: there is no such program.
        CommandNotExecutableError: it is there, but cannot be executed.
    """
    if shutil.which(name) is not None:
        return
    # As typed: `./x` is looked up otherwise than `x`, and Path's `exists` raises where a name is too long.
    if os.path.dirname(name) and os.path.exists(name):  # noqa: PTH110, PTH120
        raise CommandNotExecutableError(f"{show_path(name)} cannot be executed")
    raise CommandNotFoundError(f"{show_path(name)}: there is no such command")


class Child:
    """A running command in a process group of its own, which has the terminal if clinder had it.

    A context manager: a command that still runs at its end is killed.

    Attributes:
        is_signalled: whether a signal that was meant for clinder was handed on to it.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start the command.

        Args:
            command: the program and its arguments; no shell reads them.
            env: its whole environment.

        Raises:
            CommandNotFoundError: there is no such program.
            CommandNotExecutableError: it cannot be executed.
        """
        self.is_signalled = False
        self._terminal = _Terminal()
        try:
            self._process = subprocess.Popen(list(command), env=dict(env), **_own_group())
        except FileNotFoundError:
            find_command(command[0])
            raise CommandNotExecutableError(f"{command[0]} cannot be executed: its interpreter is not there") from None
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
            self._terminal.on_write_failure(restores_modes=True)
        self._terminal.close()

    def wait(self, *, is_over: Callable[[], bool], signalled: Callable[[], int | None] = lambda: None) -> int:
        """Wait for the command to end, handing on the signals that clinder gets meanwhile.

        A second signal kills the command, if it still runs.

        Args:
            is_over: asked all the time; true ends the command, SIGTERM first.
            signalled: asked once, which signal came before anyone listened here.

        Returns:
            Its exit status; 128 and the signal's number if one killed it.
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
                    self._kill()  # what is left of its group
                return status
        finally:
            self._terminal.on_write_failure(restores_modes=status is None or status > _SIGNAL_STATUS)

    def _poll(self) -> int | None:
        """Look whether it has ended; if it was stopped (Ctrl-Z), stop with it, and go on with it."""
        if sys.platform == "win32":
            return self._process.poll()
        pid, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            wants_terminal = os.WSTOPSIG(status) in (signal.SIGTTIN, signal.SIGTTOU)
            if not (wants_terminal and self._terminal.is_ours):  # as after `fg` of what was started with `&`
                self._terminal.on_write_failure()
                os.killpg(os.getpgrp(), signal.SIGTSTP)  # as the terminal would have: a script around clinder, too
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
    """The terminal, if there is one: while clinder is in its foreground, it can be handed to another process group."""

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
        """Put a process group into the foreground, if clinder is there; wake it: it may have asked too early."""
        if self._descriptor is None or not self.is_ours or sys.platform == "win32":
            return
        with contextlib.suppress(termios.error):
            self._modes = termios.tcgetattr(self._descriptor)
        self._set(self._descriptor, group)
        self._is_given = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGCONT)

    def on_write_failure(self, *, restores_modes: bool = False) -> None:
        """Be in the foreground again, if the terminal was given away.

        Args:
            restores_modes: undo what the other has set and, having been killed, could not undo itself (no echo).
        """
        if self._descriptor is None or not self._is_given or sys.platform == "win32":
            return
        self._set(self._descriptor, os.getpgrp())
        self._is_given = False
        if restores_modes and self._modes:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._modes)

    def close(self) -> None:
        """Have no more to do with it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _set(self, descriptor: int, group: int) -> None:
        if sys.platform == "win32":
            return
        # Who changes this from the background is stopped by SIGTTOU, unless that is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(descriptor, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
