"""Run a command that ends when the process that started it is gone, however that ended.

A program of its own, run by path: its arguments are the command, its standard input is a pipe whose other end the
starting process holds open. It leads a process group that the command belongs to. Every command takes this way, so it
imports next to nothing.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time

_GRACE_S = 3.0
"""How long the command may take to end after SIGTERM before its whole process group is killed."""
_NOT_STARTED = 127


def main(command: list[str]) -> int:
    """Run the command to its end and return its exit status: 128 and the signal's number if one killed it."""
    abandoned = _thread.allocate_lock()
    # SIGTERM is for the whole group: the command decides when to end, and this process outlives it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    _thread.start_new_thread(_end_with_owner, (abandoned,))
    try:
        status = _run(command)
    except OSError as error:
        os.write(2, os.fsencode(f"{command[0]}: {error.strerror}\n"))
        return _NOT_STARTED
    if abandoned.locked():
        _kill_group()
    return status if status >= 0 else 128 - status


def _run(command: list[str]) -> int:
    if sys.platform == "win32":
        import subprocess  # heavy, and only Windows needs it

        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    # What Python ignores for itself, no other program expects to be ignored.
    child = os.posix_spawnp(
        command[0], command, os.environ, file_actions=[no_input], setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
    )
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end_with_owner(abandoned: _thread.LockType) -> None:
    """Wait until the other end of the pipe is closed, then end the process group."""
    while os.read(0, 1024):
        pass
    abandoned.acquire()
    if sys.platform != "win32":
        os.killpg(0, signal.SIGTERM)
        time.sleep(_GRACE_S)
    _kill_group()


def _kill_group() -> None:
    """Kill everything in the process group, this process too."""
    if sys.platform == "win32":
        import subprocess  # heavy, and only Windows needs it

        subprocess.run(["taskkill", "/T", "/F", "/PID", str(os.getpid())], check=False)
        return
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
