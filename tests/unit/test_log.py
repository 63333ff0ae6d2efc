"""What is kept of a launch beside its log, and read back by later ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clinder.events import Attempt, LaunchesLeft
from clinder.output.launches import last_launches_left
from clinder.output.log import LaunchLog
from clinder.repository import RepositorySpec

if TYPE_CHECKING:
    from pathlib import Path

SPEC = RepositorySpec("gh", "org/name", "main")
FIRST, SECOND = "https://a.example.org", "https://b.example.org"


def test_the_launches_that_a_hub_has_left_are_its_own(tmp_path: Path) -> None:
    left = LaunchesLeft(FIRST, 0, 10, int(time.time()) + 999)
    log = LaunchLog(tmp_path)
    for item in (Attempt(FIRST, SPEC, 1, 2), left, Attempt(SECOND, SPEC, 2, 2)):
        log(item)
    log.close(outcome="succeeded")
    assert last_launches_left(tmp_path, SECOND) is None
    assert last_launches_left(tmp_path, FIRST) == left


def test_the_oldest_logs_go_and_this_one_stays_though_the_clock_was_set_back(tmp_path: Path) -> None:
    later = [tmp_path / f"99990101T0000{second:02}.000Z-1.log" for second in range(30)]
    for path in later:
        path.touch()
    log = LaunchLog(tmp_path)
    log(Attempt(FIRST, SPEC, 1, 1))
    log.close(outcome="succeeded")
    assert log.path is not None
    assert {path.name for path in tmp_path.glob("*.log")} == {log.path.name, *(path.name for path in later[-19:])}
