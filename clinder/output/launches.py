"""Past launches, read from their logs and cleaned: an untrusted checkout may contain such files."""

from __future__ import annotations

import codecs
import json
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from clinder.model.errors import ClinderError, StateError
from clinder.model.events import RateLimit
from clinder.model.repository import RepositorySpec
from clinder.model.wording import os_hint, os_reason
from clinder.output.clean import clean, clean_value
from clinder.output.log import KEPT, log_names
from clinder.system.folders import UntrustedFolderError, trust_hint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clinder.system.folders import OpenFolder, PrivateFolder

_FACTS_BYTES = 256 * 1024
_MOST_PHASES = 20
_PHASE_CHARACTERS = 20
_LONGEST_PHASE_S = 365 * 24 * 3600.0
_LONGEST_LIMIT_S = 24 * 3600.0
"""The latest plausible reset of a rate limit; BinderHub counts by the hour."""
_MOST = 2**40
_PIECE = 64 * 1024
_LOG_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PastLaunch:
    """One launch, as recorded in its log; all strings are clean.

    Attributes:
        name: the name of the log, which begins with the time of the launch (UTC).
        folder: the folder of the log.
        hub: the hub that was tried last.
        spec: the requested repository spec; `None` if the JSON file beside the log cannot be read.
        outcome: `succeeded`, or the kind of the error; empty if the launch is in progress or was killed.
        phases: the phases in order, each with its duration in seconds.
    """

    name: str
    folder: PrivateFolder
    hub: str
    spec: RepositorySpec | None
    outcome: str
    phases: tuple[tuple[str, float], ...]

    @property
    def path(self) -> Path:
        """The path of the log."""
        return self.folder.path / f"{self.name}.log"

    @property
    def repository(self) -> tuple[str, str] | None:
        """Provider and repository, without the ref: launches of the same repository are compared."""
        return (self.spec.provider, self.spec.repo) if self.spec else None


def past_launches(logs: PrivateFolder) -> list[PastLaunch]:
    """Read the launches that are logged in a folder, newest first, at most `KEPT` of them.

    Raises:
        StateError: the folder cannot be read.
    """
    try:
        with logs.open() as folder:
            names = [name for name in log_names(folder) if folder.has(f"{name}.log")]
            return [_read(logs, folder, name) for name in names[:KEPT]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(logs, logs.path, error) from error


def _unreadable(logs: PrivateFolder, path: Path, error: OSError) -> StateError:
    hint = "Nothing depends on it: remove it, and the next `clinder up` writes its log there."
    is_folder = isinstance(error, UntrustedFolderError | NotADirectoryError)
    if is_folder and error.filename != str(logs.path):  # the state folder itself
        path, hint = error.filename, trust_hint(error) or f"Move {error.filename} away."
    return StateError(f"{path} cannot be read: {os_reason(error)}", hint=os_hint(error) or hint)


def _read(logs: PrivateFolder, folder: OpenFolder, name: str) -> PastLaunch:
    facts = _facts(folder, name)
    return PastLaunch(
        name, logs, _text(facts, "hub"), _spec(facts), _text(facts, "outcome"), tuple(_phases(facts.get("phases")))
    )


def _facts(folder: OpenFolder, name: str) -> dict[str, Any]:
    try:
        facts = json.loads(folder.read(f"{name}.json", max_bytes=_FACTS_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key)
    return clean_value(value) if isinstance(value, str) else ""


def _spec(facts: dict[str, Any]) -> RepositorySpec | None:
    try:
        return RepositorySpec(_text(facts, "provider"), _text(facts, "repo"), _text(facts, "ref"))
    except ClinderError:
        return None


def _phases(listed: object) -> Iterator[tuple[str, float]]:
    for item in listed[:_MOST_PHASES] if isinstance(listed, list) else ():
        phase, seconds = (item.get("phase"), item.get("seconds")) if isinstance(item, dict) else (None, None)
        if isinstance(phase, str) and isinstance(seconds, int | float) and 0 <= seconds <= _LONGEST_PHASE_S:
            yield clean_value(phase, _PHASE_CHARACTERS), float(seconds)


def medians(launch: PastLaunch, earlier: list[PastLaunch]) -> dict[str, float]:
    """Get the median duration of each phase, in seconds, over earlier successful launches of the same repository."""
    alike = [
        dict(other.phases)
        for other in earlier
        if other.repository == launch.repository and other.outcome == "succeeded" and other.name < launch.name
    ]
    return {
        phase: statistics.median(times)
        for phase, _ in launch.phases
        if (times := [phases[phase] for phases in alike if phase in phases])
    }


_AGAIN_BYTES = 16384
"""How much of the end of a log is read again when its middle was dropped."""


class LogReader:
    """A reader of the log of a launch, also while it is being written; a context manager.

    Args:
        launch: the launch to read the log of.
        most_bytes: read at most this much, from the end of the log; by default all of it.

    Raises:
        StateError: on entering, if the log cannot be read.
    """

    def __init__(self, launch: PastLaunch, *, most_bytes: int | None = None) -> None:
        self._launch = launch
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._incomplete = ""
        self._remaining = most_bytes
        self._note = ""

    def __enter__(self) -> Self:
        try:
            with self._launch.folder.open() as folder:
                self._descriptor = folder.open_file(self._launch.path.name)
        except OSError as error:
            raise _unreadable(self._launch.folder, self._launch.path, error) from error
        unread = os.fstat(self._descriptor).st_size - self._remaining if self._remaining is not None else 0
        if unread > 0:
            os.lseek(self._descriptor, unread, os.SEEK_SET)
            self._note = f"[the first {unread} bytes of {self._launch.path} are not shown]\n"
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)

    def lines(self, *, is_all: bool) -> Iterator[str]:
        """Read the lines that were added, several at a time.

        Only whole lines are returned: text that is cleaned in pieces may be harmful when joined.

        Args:
            is_all: whether the log is complete, so that an unterminated last line is returned too.
        """
        if self._note:
            yield self._note
            self._note = ""
        self._skip_to_the_end_if_shortened()
        while piece := self._read():
            whole, newline, rest = (self._incomplete + self._decoder.decode(piece)).rpartition("\n")
            if not newline and len(rest) > _PIECE:
                whole, newline, rest = rest, "\n", ""
            self._incomplete = rest
            if newline:
                yield f"{clean(whole)}\n"
        if is_all and self._incomplete:
            yield f"{clean(self._incomplete)}\n"
            self._incomplete = ""

    def _skip_to_the_end_if_shortened(self) -> None:
        """Go on near the end of a log whose middle was dropped since (`BoundedFile`)."""
        size = os.fstat(self._descriptor).st_size
        if size >= os.lseek(self._descriptor, 0, os.SEEK_CUR):
            return
        start = os.lseek(self._descriptor, max(size - _AGAIN_BYTES, 0), os.SEEK_SET)
        partial, newline, _ = os.read(self._descriptor, _AGAIN_BYTES).partition(b"\n")
        os.lseek(self._descriptor, start + len(partial) + len(newline), os.SEEK_SET)
        self._decoder.reset()
        self._waiting = ""

    def _read(self) -> bytes:
        try:
            piece = os.read(self._descriptor, _PIECE if self._remaining is None else min(_PIECE, self._remaining))
        except OSError as error:
            raise _unreadable(self._launch.folder, self._launch.path, error) from error
        if self._remaining is not None:
            self._remaining -= len(piece)
        return piece

    def has_ended(self) -> bool:
        """Whether the launch is over: then there is a JSON file beside its log."""
        try:
            with self._launch.folder.open() as folder:
                return folder.has(f"{self._launch.name}.json")
        except OSError:
            return False


def read_log(launch: PastLaunch) -> str:
    """Read the log of a launch as far as it has been written, cleaned; only the end of a very large one.

    Raises:
        StateError: the log cannot be read.
    """
    with LogReader(launch, most_bytes=_LOG_BYTES) as log:
        return "".join(log.lines(is_all=True))


def last_rate_limit(logs: PrivateFolder, hub: str) -> RateLimit | None:
    """Get the rate limit that a hub reported at the last logged launch, unless it has been reset since."""
    try:
        with logs.open() as folder:
            return next(_rate_limit(folder, hub), None)
    except OSError:
        return None


def _rate_limit(folder: OpenFolder, hub: str) -> Iterator[RateLimit]:
    for name in log_names(folder)[:KEPT]:
        by_hub = _facts(folder, name).get("rate_limit")
        counts = by_hub.get(hub) if isinstance(by_hub, dict) else None
        if not isinstance(counts, dict):
            continue
        remaining, limit, reset_at = (_count(counts.get(key)) for key in ("remaining", "limit", "reset_at"))
        if remaining is None or limit is None or reset_at is None:
            continue
        if 0 < reset_at - time.time() <= _LONGEST_LIMIT_S:
            yield RateLimit(hub, remaining, limit, reset_at)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST else None
