"""The whole log of each launch, kept under `.clinder/logs/`: the hub's words in a text file, the facts beside it."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clinder.events import Attempt, CaughtUp, Checking, Event, LaunchesLeft, Retrying, Told
from clinder.output.clean import clean
from clinder.phases import PhaseClock

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from clinder.events import Notice

_KEPT = 20
_PRIVATE_FILE = 0o600


class LaunchLog:
    """A listener that keeps the log of one launch; the file is made when the launch begins.

    Attributes:
        path: where the log is; `None` before anything was written, or where it cannot be.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path | None = None
        self._folder = folder
        self._file: TextIO | None = None
        self._facts: dict[str, Any] = {"version": 1}
        self._clock = PhaseClock()
        self._began = time.monotonic()

    def __call__(self, item: Event | Notice) -> None:
        """Write an item down; a log that cannot be written stops no launch."""
        self._clock(item)
        try:
            self._write(item)
        except OSError:
            self._file = None

    def _write(self, item: Event | Notice) -> None:
        if isinstance(item, Event):
            if self._file and item.message:
                self._write_event(item, self._file)
        elif isinstance(item, CaughtUp):
            if self._file:
                self._file.flush()
        else:
            self._write_notice(item)

    def _write_notice(self, notice: Notice) -> None:
        match notice:
            case Attempt():
                self._begin(notice)
            case Retrying(reason=reason):
                self._line(f"failed: {reason}")
            case Checking(kernel=kernel):
                self._line("checking the server" if kernel is None else f"starting a kernel ({kernel})")
            case LaunchesLeft(hub=hub, remaining=remaining, limit=limit, reset_at=reset_at):
                told = {"remaining": remaining, "limit": limit, "reset_at": reset_at}
                self._facts.setdefault("launches_left", {})[hub] = told
            case Told(text=text):
                self._line(text)

    def _write_event(self, event: Event, file: TextIO) -> None:
        text = clean(event.message).rstrip("\n")
        prefix = f"{time.monotonic() - self._began:9.3f} {self._clock.phase:<9} "
        if "\n" in text:
            text = text.replace("\n", "\n" + prefix)
        file.write(f"{prefix}{text}\n")

    def _line(self, text: str) -> None:
        if self._file:
            prefix = f"{time.monotonic() - self._began:9.3f} clinder   "
            self._file.write(prefix + clean(text).replace("\n", f"\n{prefix}") + "\n")
            self._file.flush()

    def _begin(self, attempt: Attempt) -> None:
        if self._file is None:
            self._open()
        spec = attempt.spec
        self._facts |= {"hub": attempt.hub, "provider": spec.provider, "repo": spec.repo, "ref": spec.ref}
        self._line(f"launching {attempt.spec} on {attempt.hub} (try {attempt.number} of {attempt.of})")

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._began = time.monotonic()
        began = datetime.now(UTC)
        self._facts["began_at"] = began.isoformat(timespec="milliseconds")
        self.path = self._folder / f"{began:%Y%m%dT%H%M%S}.{began.microsecond // 1000:03}Z-{os.getpid()}.log"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="\n")

    def close(self, **facts: Any) -> None:
        """End the log, write the facts beside it, and let the oldest logs go."""
        if self._file is None or self.path is None:
            return
        try:
            self._file.close()
            times = self._clock.times().items()
            self._facts["phases"] = [{"phase": phase, "seconds": round(seconds, 3)} for phase, seconds in times]
            self._facts |= facts
            beside = self.path.with_suffix(".json")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._facts, file, indent=2)
            others = sorted(path for path in self._folder.glob("*.log") if path != self.path)
            for old in others[: -_KEPT + 1]:  # this one stays though the clock was set back since
                old.unlink(missing_ok=True)
                old.with_suffix(".json").unlink(missing_ok=True)
        except OSError:
            return
        finally:
            self._file = None
