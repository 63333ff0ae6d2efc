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
