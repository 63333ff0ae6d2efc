"""The whole log of each launch, kept under `.clinder/logs/`: the hub's words in a text file, the facts beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clinder.model.events import Attempt, BatchEnd, Event, Message, RateLimit, Retrying, Verifying
from clinder.model.phases import PhaseClock
from clinder.model.wording import os_reason
from clinder.output.bounded import BoundedFile
from clinder.output.clean import clean
from clinder.system.redact import without_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.model.events import Progress
    from clinder.system.folders import OpenFolder, PrivateFolder

KEPT = 20
_NAME = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9]+)\.(log|json)")
"""What a `LaunchLog` names its files: the time (UTC) and the process. No other file is read, or removed."""


def log_names(folder: OpenFolder) -> list[str]:
    """List the launches of which there are files in a folder, without the files' suffix, the newest first."""
    found = {match[1] for name in folder.names() if (match := _NAME.fullmatch(name))}
    return sorted(found, reverse=True)


class LaunchLog:
    """A listener that keeps the log of one launch; the file is made when the launch begins.

    Attributes:
        path: where the log is; `None` before anything was written, or where it cannot be.
        problem: why no log can be kept; empty if one can.
    """

    def __init__(self, folder: PrivateFolder) -> None:
        self.path: Path | None = None
        self.problem = ""
        self._folder = folder
        self._file: BoundedFile | None = None
        self._facts: dict[str, Any] = {"version": 1}
        self._clock = PhaseClock()
        self._began = time.monotonic()

    def __call__(self, item: Event | Progress) -> None:
        """Write an item down; a log that cannot be written stops no launch."""
        self._clock(item)
        try:
            self._write(item)
        except OSError as error:
            self.problem = f"{self._folder.path}: {os_reason(error)}"
            self._file = None

    def _write(self, item: Event | Progress) -> None:
        if isinstance(item, Event):
            if self._file and item.message:
                self._write_event(item, self._file)
        elif isinstance(item, BatchEnd):
            if self._file:
                self._file.flush()
        else:
            self._write_notice(item)

    def _write_notice(self, notice: Progress) -> None:
        match notice:
            case Attempt():
                self._begin(notice)
            case Retrying(reason=reason):
                self._line(f"failed: {reason}")
            case Verifying(kernel=kernel):
                self._line("checking the server" if kernel is None else f"starting a kernel ({kernel})")
            case RateLimit(hub=hub, remaining=remaining, limit=limit, reset_at=reset_at):
                told = {"remaining": remaining, "limit": limit, "reset_at": reset_at}
                self._facts.setdefault("rate_limit", {})[hub] = told
            case Message(text=text):
                self._line(text)

    def _write_event(self, event: Event, file: BoundedFile) -> None:
        text = clean(event.message).rstrip("\n")
        prefix = f"{time.monotonic() - self._began:9.3f} {self._clock.phase:<9} "
        if "\n" in text:
            text = text.replace("\n", "\n" + prefix)
        file.write(f"{prefix}{text}\n")

    def _line(self, text: str) -> None:
        if self._file:
            prefix = f"{time.monotonic() - self._began:9.3f} clinder   "
            self._file.write(prefix + clean(without_tokens(text)).replace("\n", f"\n{prefix}") + "\n")
            self._file.flush()

    def _begin(self, attempt: Attempt) -> None:
        if self._file is None:
            self._open()
        spec = attempt.spec
        self._facts |= {"hub": attempt.hub, "provider": spec.provider, "repo": spec.repo, "ref": spec.ref}
        self._line(f"launching {attempt.spec} on {attempt.hub} (try {attempt.number} of {attempt.total})")

    def _open(self) -> None:
        self._began = time.monotonic()
        began = datetime.now(UTC)
        self._facts["began_at"] = began.isoformat(timespec="milliseconds")
        name = f"{began:%Y%m%dT%H%M%S}.{began.microsecond // 1000:03}Z-{os.getpid()}.log"
        with self._folder.make() as folder:
            descriptor = folder.create_file(name)
        self.path = self._folder.path / name
        self._file = BoundedFile(descriptor, mark=_left_out)

    def close(self, **facts: Any) -> None:
        """End the log, write the facts beside it, and let the oldest logs go."""
        if self._file is None or self.path is None:
            return
        try:
            self._file.close()
            times = self._clock.times().items()
            self._facts["phases"] = [{"phase": phase, "seconds": round(seconds, 3)} for phase, seconds in times]
            self._facts |= facts
            with self._folder.open() as folder:
                folder.write(f"{self.path.stem}.json", json.dumps(self._facts, indent=2))
                _prune(folder, self.path.stem)
        except OSError:
            return
        finally:
            self._file = None


def _prune(folder: OpenFolder, newest: str) -> None:
    """Remove the logs of the oldest launches; the one just ended stays though the clock was set back since."""
    for name in [name for name in log_names(folder) if name != newest][KEPT - 1 :]:
        for suffix in (".log", ".json"):
            with contextlib.suppress(OSError):
                folder.remove(name + suffix)


def _left_out(count: int) -> str:
    return f"{'':9} clinder   {count} bytes of the log are left out here: it grew too long\n"
