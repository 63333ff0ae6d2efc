"""Earlier launches, read back from the logs that were kept of them."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinder.errors import ClinderError
from clinder.events import LaunchesLeft
from clinder.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class PastLaunch:
    """One launch, as its log has it.

    Attributes:
        name: of the log, which begins with the time of the launch (UTC).
        path: of the log.
        hub: that was asked last.
        spec: the repository spec that was asked for; `None` where the facts beside the log cannot be read.
        outcome: `succeeded`, the kind of the error, or empty while it is under way (or was killed).
        phases: in order, each with its seconds.
    """

    name: str
    path: Path
    hub: str
    spec: RepositorySpec | None
    outcome: str
    phases: tuple[tuple[str, float], ...]

    @property
    def repository(self) -> tuple[str, str] | None:
        """Provider and repository, without the ref: what launches are compared by."""
        return (self.spec.provider, self.spec.repo) if self.spec else None


def past_launches(folder: Path) -> list[PastLaunch]:
    """Read which launches are logged in a folder, the newest first."""
    return [_read(path) for path in sorted(folder.glob("*.log"), reverse=True)]


def _read(path: Path) -> PastLaunch:
    facts = _facts(path.with_suffix(".json"))
    try:
        phases = tuple((str(time["phase"]), float(time["seconds"])) for time in facts.get("phases", ()))
    except (KeyError, TypeError, ValueError):
        phases = ()
    hub, outcome = str(facts.get("hub", "")), str(facts.get("outcome", ""))
    return PastLaunch(path.stem, path, hub, _spec(facts), outcome, phases)


def _spec(facts: dict[str, Any]) -> RepositorySpec | None:
    try:
        return RepositorySpec(str(facts["provider"]), str(facts["repo"]), str(facts["ref"]))
    except (KeyError, ClinderError):
        return None


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def medians(launch: PastLaunch, earlier: list[PastLaunch]) -> dict[str, float]:
    """For each phase, the median of its seconds in the earlier launches of the same repository that succeeded."""
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


def last_launches_left(folder: Path, hub: str) -> LaunchesLeft | None:
    """Find what a hub told at the last launch that is logged here, if its window is still open."""
    return next(_launches_left(folder, hub), None)


def _launches_left(folder: Path, hub: str) -> Iterator[LaunchesLeft]:
    for path in sorted(folder.glob("*.json"), reverse=True):
        by_hub = _facts(path).get("launches_left")
        if isinstance(by_hub, dict) and hub in by_hub:
            left = by_hub[hub]
            try:
                told = LaunchesLeft(hub, int(left["remaining"]), int(left["limit"]), int(left["reset_at"]))
            except (KeyError, TypeError, ValueError):
                continue
            if told.reset_at > time.time():
                yield told
