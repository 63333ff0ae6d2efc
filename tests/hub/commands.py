"""`clinder` as a process: what it says can be read while it runs, and signals reach it one by one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.servers import LIMIT_S, eventually

if TYPE_CHECKING:
    import signal

ONE_WISH_S = 0.3
"""More than the time in which clinder takes two signals for one."""


class Command(subprocess.Popen[str]):
    """A `clinder` that runs in a folder; its stderr goes to a file."""

    def __init__(self, folder: Path, *arguments: str, under: tuple[str, ...] = (), **more: Any) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `dispose`
        super().__init__(
            [*under, sys.executable, "-m", "clinder", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            **more,
        )

    @property
    def said(self) -> str:
        """What it has written to stderr so far."""
        return os.pread(self._stderr.fileno(), os.fstat(self._stderr.fileno()).st_size, 0).decode()

    def await_words(self, words: str) -> None:
        """Wait until it has said this: it has then taken what came before."""
        eventually(lambda: words in self.said or self.poll() is not None, f"it says {words!r}")
        assert words in self.said

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, and wait until it is taken: two that wait at the same time are one."""
        self.send_signal(number)
        await_taken(self.pid, number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end; return its exit status, stdout and stderr."""
        out, _ = self.communicate(timeout=LIMIT_S)
        return self.returncode, out, self.said

    def dispose(self) -> None:
        """Kill it if it still runs, and close its files."""
        if self.poll() is None:
            self.kill()
        self.communicate()
        self._stderr.close()


def await_taken(pid: int, number: signal.Signals) -> None:
    """Wait until no such signal waits for a process; where the kernel does not tell, a moment."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        time.sleep(ONE_WISH_S)
        return

    def waits() -> bool:
        try:
            masks = re.findall(r"^S[ih][gd]Pnd:\s*(\w+)", status.read_text(), re.MULTILINE)
        except OSError:  # it has ended
            return False
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)

    eventually(lambda: not waits(), f"{number.name} is taken")
