"""Keeping a session from idling between the steps of a job, by a process of its own that ends with the job.

The process lives as long as its mark, a file beside the state: who stops the session takes the mark away first. It
ends as well when the session or the runner is gone, and when its time is over.
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

_LOOK_S = 0.25
_PACE = Pace(outage_s=600.0)
_ENDING_S = 5.0
_REASON_BYTES = 64 * 1024
_TOKENS = (*OWN_VARIABLES, "INPUT_BUILD-TOKEN")


class Keeping:
    """The process that keeps a session alive, as those see it who share its folder.

    Attributes:
        mark: the file that says that the process shall live.
        log: where the process says why it ended.
    """

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "keep-alive"
        self.log = folder / "keep-alive.log"

    def begin(self, arguments: list[str]) -> None:
        """Start the process, away from this one: it outlives the step.

        Args:
            arguments: what this program is given to do it.
        """
        self.mark.touch()
        away: dict[str, Any] = (
            {"creationflags": 0x00000008 | 0x00000200} if os.name == "nt" else {"start_new_session": True}
        )
        # This interpreter, started as it was started now, with other arguments.
        started_with = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
        variables = inherit("program", "network", "action")
        subprocess.Popen(
            [sys.executable, *started_with, *arguments],
            cwd=self.mark.parent.parent,
            env={name: value for name, value in variables.items() if name not in _TOKENS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **away,
        )

    def end(self) -> str | None:
        """Have the process end, and say why it did; `None` where there was none, or it says nothing."""
        if not self.mark.exists() and not self.log.exists():
            return None
        self.mark.unlink(missing_ok=True)
        until = time.monotonic() + _ENDING_S
        while not self.log.exists() and time.monotonic() < until:
            time.sleep(_LOOK_S)
        with contextlib.suppress(OSError):
            return clean_value(read_regular(self.log, max_bytes=_REASON_BYTES).decode(errors="replace"))
        return None

    def keep(
        self, session: Session, *, timeouts: Timeouts, limit: timedelta, runner_pid: int, pace: Pace = _PACE
    ) -> str:
        """Be that process; returns why it ends."""
        with Watch(session, timeouts=timeouts, keeps_alive=True, pace=pace) as watch:
            reason = self._until_over(watch, time.monotonic() + limit.total_seconds(), runner_pid)
        with contextlib.suppress(OSError):  # the folder may be gone: then nobody asks
            write_private(self.log, reason)
        return reason

    def _until_over(self, watch: Watch, deadline: float, runner_pid: int) -> str:
        while self.mark.exists():
            if watch.loss:
                return because("the session was lost", watch.loss.reason)
            if time.monotonic() >= deadline:
                return "its time was over (input keep-alive-for)"
            if runner_pid > 1 and not _is_alive(runner_pid):
                return "the runner is gone"
            time.sleep(_LOOK_S)
        return "the job is over"


def _is_alive(pid: int) -> bool:
    """Whether there is such a process, whoever it belongs to."""
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
