"""Processes: children whose output is read while they run, and detached ones that outlive clinder.

Children end with clinder, also where it is killed (`tether.py`). A detached process is known by its id and its start
time, so that a later process with the same id is never taken for it, let alone ended.
"""

from __future__ import annotations

import math
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_POLL_S = 0.02
_LISTEN_S = 0.1
_GRACE_S = 3.0
_TIMED_OUT = 124
"""The exit status that `timeout`, of the GNU coreutils, has for this."""
_TETHER = Path(__file__).with_name("tether.py")


class ChildFailedError(Exception):
    """A child process ended with another status than 0, or could not be started."""

    def __init__(self, command: Sequence[str], status: int, output: str = "") -> None:
        message = f"The command {' '.join(command)!r} returned a non-zero code: {status}"
        super().__init__(f"{message}\n{output}".strip())
        self.status = status
        self.output = output


class ChildTimeoutError(ChildFailedError):
    """A child process took too long, and was ended."""

    def __init__(self, command: Sequence[str], reason: str) -> None:
        super().__init__(command, _TIMED_OUT, reason)
        self.args = (f"The command {' '.join(command)!r} was stopped: {reason}",)


class ClosedError(Exception):
    """The embedded hub was closed meanwhile."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a child may take, in seconds; without a limit where that is left out.

    Not kept on Windows while nothing is printed: reading cannot be given up there.

    Attributes:
        total_s: from its start to its end.
        silence_s: without printing anything.
    """

    total_s: float = math.inf
    silence_s: float = math.inf


_UNLIMITED = Limits()


class _Watch:
    """Reads what a child prints and waits for its end, as long as it keeps to its limits and the hub is open."""

    def __init__(
        self, child: subprocess.Popen[bytes], command: Sequence[str], limits: Limits, children: Children
    ) -> None:
        self._child = child
        self._command = command
        self._limits = limits
        self._children = children
        self._started = self._heard = time.monotonic()

    def read(self) -> bytes:
        """Read what the child prints, nothing at its end; one that left its group may keep its output open for ever."""
        assert self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        while True:
            self._check_total()
            if _can_read(descriptor, _LISTEN_S):
                self._heard = time.monotonic()
                return os.read(descriptor, 65536)
            if time.monotonic() - self._heard > self._limits.silence_s:
                raise ChildTimeoutError(self._command, f"it printed nothing for {self._limits.silence_s:g} s")

    def wait(self) -> int:
        """Wait for the end of a child that prints no more, and return its status."""
        while True:
            self._check_total()
            with suppress(subprocess.TimeoutExpired):
                return self._child.wait(_LISTEN_S)

    def _check_total(self) -> None:
        self._children.raise_if_closed()
        if time.monotonic() - self._started > self._limits.total_s:
            raise ChildTimeoutError(self._command, f"it did not end within {self._limits.total_s:g} s")


class Children:
    """The children of one hub, each in a process group of its own; `close` ends them from any thread."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def lines(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        limits: Limits = _UNLIMITED,
    ) -> Iterator[str]:
        r"""Run a command and yield what it prints, as it comes, each piece with its `\n` or `\r`.

        Leaving the iterator early ends the command and everything in its process group.

        Raises:
            ChildFailedError: the command's status was not 0, or it took too long (`ChildTimeoutError`).
            ClosedError: the hub was closed.
        """
        for piece in self._pieces(command, env, cwd, subprocess.STDOUT, limits):
            yield piece.decode("utf-8", "replace")

    def output(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        limits: Limits = _UNLIMITED,
    ) -> str:
        """Run a command and return what it prints, without what it prints as errors.

        Raises:
            ChildFailedError: the command's status was not 0, and the error has both; or it took too long
                (`ChildTimeoutError`).
            ClosedError: the hub was closed.
        """
        pieces: list[bytes] = []
        with tempfile.TemporaryFile() as errors:
            try:
                pieces.extend(self._pieces(command, env, cwd, errors.fileno(), limits))
            except ChildTimeoutError:
                raise
            except ChildFailedError as error:
                errors.seek(0)
                printed = b"".join([*pieces, errors.read()]).decode("utf-8", "replace")
                raise ChildFailedError(command, error.status, error.output or printed) from error
        return os.fsdecode(b"".join(pieces))

    def _pieces(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None, errors: int, limits: Limits
    ) -> Iterator[bytes]:
        child = self._start(command, env, cwd, errors)
        watch = _Watch(child, command, limits, self)
        try:
            rest = b""
            while data := watch.read():
                *whole, rest = re.split(rb"(?<=[\r\n])", rest + data)
                yield from whole
            if rest:
                yield rest
            status = watch.wait()
        except BaseException:
            _end_group(child)
            raise
        finally:
            self._let_go(child)
        self.raise_if_closed()
        if status:
            raise ChildFailedError(command, status)

    @property
    def is_closed(self) -> bool:
        """Whether the hub was closed."""
        return self._closed.is_set()

    def raise_if_closed(self) -> None:
        """Raise `ClosedError` if the hub was closed."""
        if self.is_closed:
            raise ClosedError

    def close(self) -> None:
        """End all children, and let no further one start.

        They are asked at first, and killed after three seconds, or at once where a signal cuts the waiting short.
        """
        with self._lock:
            self._closed.set()
            running = list(self._running)
        for child in running:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        try:
            while any(child.poll() is None for child in running) and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        finally:
            with self._lock:
                left = [child for child in running if child in self._running]
            for child in left:
                _signal_group(child, _SIGKILL)

    def _start(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None, errors: int
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            self.raise_if_closed()
            if shutil.which(command[0], path=env.get("PATH")) is None:
                raise ChildFailedError(command, 127, f"{command[0]}: command not found\n")
            try:
                child = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_TETHER), *command],
                    stdin=subprocess.PIPE,  # open for as long as this process lives
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=dict(env),
                    cwd=cwd,
                    **_own_group(detached=False),
                )
            except OSError as error:
                raise ChildFailedError(command, 127, f"{error}\n") from error
            self._running.add(child)
        return child

    def _let_go(self, child: subprocess.Popen[bytes]) -> None:
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
        with self._lock:
            self._running.discard(child)


_SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def _own_group(*, detached: bool) -> dict[str, Any]:
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags | (subprocess.CREATE_BREAKAWAY_FROM_JOB if detached else 0)}
    # A Jupyter Server writes its token into files that it makes without care for who can read them.
    return {"start_new_session": True, "umask": 0o077 if detached else -1}


def _can_read(descriptor: int, timeout_s: float) -> bool:
    """Wait until there is something to read, or the end of it; Windows cannot tell, so there the reading waits."""
    if sys.platform == "win32":
        return True
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(timeout_s * 1000))


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and its process group: asked at first, after `_GRACE_S` seconds without asking."""
    _signal_group(child, signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
    finally:
        # Whatever of the group ignored SIGTERM, or was started after it, ends here.
        _signal_group(child, _SIGKILL)
        child.wait()
        deadline = time.monotonic() + _GRACE_S
        while _has_members(child.pid) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _psutil() -> Any:
    import psutil  # type: ignore[import-untyped,unused-ignore]  # the extra `local`

    return psutil


def _has_members(group: int) -> bool:
    """Whether a process of this group still runs; zombies, which somebody else has to wait for, do not."""
    if sys.platform == "win32":
        return False
    psutil = _psutil()
    for pid in psutil.pids():
        with suppress(OSError):
            if os.getpgid(pid) == group and identify(pid):
                return True
    return False


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    if sys.platform == "win32":
        _end_tree(child.pid)
        return
    # macOS answers EPERM for a group of which only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, for ever: its id, and when it started in the platform's own terms."""

    pid: int
    started: str


def identify(pid: int) -> ProcessId | None:
    """The process that has this id now; `None` if there is none, or only what is left of an ended one."""
    if sys.platform == "linux":
        try:
            # The command name may hold spaces and parentheses: the fields are counted from the last one.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        state, start_ticks = fields.split()[0], fields.split()[19]
        return None if state in ("Z", "X") else ProcessId(pid, f"{boot}:{start_ticks}")
    psutil = _psutil()
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessId(pid, f"{process.create_time():.2f}")
    except psutil.Error:
        return None


def is_running(process: ProcessId) -> bool:
    """Whether this very process still runs."""
    return identify(process.pid) == process


@dataclass(frozen=True, slots=True)
class Detached:
    """A process that outlives this one.

    Attributes:
        process: the process, or `None` where it has ended already.
        pipe: the descriptor that writes to its standard input; closed when this process ends, however it does.
    """

    process: ProcessId | None
    pipe: int


def start_detached(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> Detached:
    """Start a process that outlives this one: no terminal, its output appended to `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(env),
            cwd=cwd,
            **_own_group(detached=True),
        )
    finally:
        os.close(descriptor)
    assert child.stdin is not None
    pipe = os.dup(child.stdin.fileno())
    child.stdin.close()
    process = identify(child.pid)
    # While this process lives it is the parent: without this the ended server would stay as a zombie.
    threading.Thread(target=child.wait, name=f"reap-{child.pid}", daemon=True).start()
    return Detached(process, pipe)


def end(process: ProcessId, timeout_s: float) -> bool:
    """End a process and all its descendants: asked at first, after `timeout_s` seconds without asking.

    Returns:
        whether the process is gone.
    """
    descendants = _descendants(process)
    if is_running(process):
        _send(process.pid, signal.SIGTERM)
        if not wait_until_gone(process, timeout_s):
            # Kernels have sessions of their own, so that the group does not hold them.
            descendants = [*descendants, *_descendants(process)]
            _send(process.pid, _SIGKILL)
    for descendant in descendants:
        if is_running(descendant):
            _send(descendant.pid, _SIGKILL)
    return wait_until_gone(process, _GRACE_S)


def find_by_variable(name: str, value: str) -> list[ProcessId]:
    """Find the other processes of this user that were started with this environment variable."""
    psutil = _psutil()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(name) == value:
                found.append(identify(process.pid))
    return [process for process in found if process is not None]


def end_all(name: str, value: str, timeout_s: float) -> bool:
    """End every process that was started with this environment variable, and those that these start meanwhile.

    Returns:
        whether all are gone.
    """
    deadline = time.monotonic() + timeout_s + 2 * _GRACE_S
    while processes := find_by_variable(name, value):
        if time.monotonic() >= deadline:
            return False
        for process in processes:
            _send(process.pid, signal.SIGTERM)
        until = time.monotonic() + timeout_s
        for process in processes:
            if not wait_until_gone(process, max(0.0, until - time.monotonic())):
                _send(process.pid, _SIGKILL)
        for process in processes:
            wait_until_gone(process, _GRACE_S)
    return True


def wait_until_gone(process: ProcessId, timeout_s: float) -> bool:
    """Wait for the process to end, `timeout_s` seconds at most; whether it did."""
    deadline = time.monotonic() + timeout_s
    while is_running(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _descendants(process: ProcessId) -> list[ProcessId]:
    psutil = _psutil()
    if not is_running(process):
        return []
    try:
        found = [identify(child.pid) for child in psutil.Process(process.pid).children(recursive=True)]
    except psutil.Error:
        return []
    return [child for child in found if child is not None]


def _end_tree(pid: int) -> None:
    root = identify(pid)
    if root is not None:
        for process in (*_descendants(root), root):
            _send(process.pid, _SIGKILL)
