"""A background process that keeps a session active between the steps of a job, and ends with the job.

The process runs as long as its mark, a file beside the state, exists; the mark is removed before the session is
stopped. It also ends when the session or the runner is gone, and when `keep-alive-for` has elapsed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from clinder.model.wording import because
from clinder.output.clean import clean_value
from clinder.run.watch import Pace, Watch
from clinder.system.files import read_regular, write_private
from clinder.system.inherited import inherit
from clinder.system.redact import OWN_VARIABLES

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from clinder.config.settings import Timeouts
    from clinder.model.session import Session

_POLL_S = 0.25
_PACE = Pace(outage_s=600.0)
_ENDING_S = 5.0
_REASON_BYTES = 64 * 1024
_TOKENS = (*OWN_VARIABLES, "INPUT_BUILD-TOKEN")


class Keeping:
    """The process that keeps a session active; it is controlled through files in the folder of the step.

    Attributes:
        mark: the file whose removal ends the process.
        log: the file to which the process writes why it ended.
    """

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "keep-alive"
        self.log = folder / "keep-alive.log"

    def begin(self, arguments: list[str]) -> None:
        """Start the process, detached from this one so that it outlives the step.

        Args:
            arguments: the arguments with which this program runs `keep`.
        """
        self.mark.touch()
        detached: dict[str, Any] = (
            {"creationflags": 0x00000008 | 0x00000200} if os.name == "nt" else {"start_new_session": True}
        )
        # This interpreter with the same options, but other arguments.
        started_with = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
        variables = inherit("program", "network", "action")
        subprocess.Popen(
            [sys.executable, *started_with, *arguments],
            cwd=self.mark.parent.parent,
            env={name: value for name, value in variables.items() if name not in _TOKENS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **detached,
        )

    def end(self) -> str | None:
        """End the process, and return why it ended; `None` if there was none, or no reason is known."""
        if not self.mark.exists() and not self.log.exists():
            return None
        self.mark.unlink(missing_ok=True)
        until = time.monotonic() + _ENDING_S
        while not self.log.exists() and time.monotonic() < until:
            time.sleep(_POLL_S)
        with contextlib.suppress(OSError):
            return clean_value(read_regular(self.log, max_bytes=_REASON_BYTES).decode(errors="replace"))
        return None

    def keep(
        self, session: Session, *, timeouts: Timeouts, limit: timedelta, runner_pid: int, pace: Pace = _PACE
    ) -> str:
        """Keep the session active until something ends that, and return the reason."""
        with Watch(session, timeouts=timeouts, keeps_alive=True, pace=pace) as watch:
            reason = self._until_over(watch, time.monotonic() + limit.total_seconds(), runner_pid)
        with contextlib.suppress(OSError):  # the folder may be gone, and with it every reader
            write_private(self.log, reason)
        return reason

    def _until_over(self, watch: Watch, deadline: float, runner_pid: int) -> str:
        while self.mark.exists():
            if watch.loss:
                return because("the session was lost", watch.loss.reason)
            if time.monotonic() >= deadline:
                return "keep-alive-for elapsed"
            if runner_pid > 1 and not _is_alive(runner_pid):
                return "the runner is gone"
            time.sleep(_POLL_S)
        return "the job is over"


def _is_alive(pid: int) -> bool:
    """Whether a process with this id exists, of any user."""
    if sys.platform == "win32":
        import ctypes  # only Windows needs it

        kernel, synchronize, is_over = ctypes.windll.kernel32, 0x00100000, 0
        handle = kernel.OpenProcess(synchronize, False, pid)
        if not handle:
            return False
        try:
            return bool(kernel.WaitForSingleObject(handle, 0) != is_over)
        finally:
            kernel.CloseHandle(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
