"""The log of a launch, the JSON file beside it, and the removal of old ones."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from clinder.cli.logs import _follow
from clinder.model.events import Attempt, Event, Phase, RateLimit
from clinder.model.repository import RepositorySpec
from clinder.output.launches import last_rate_limit, past_launches
from clinder.output.log import LaunchLog
from clinder.state import StateFolder
from clinder.system.folders import PrivateFolder
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SPEC = RepositorySpec("gh", "org/name", "main")
FIRST, SECOND = "https://a.example.org", "https://b.example.org"


def test_rate_limits_are_kept_per_hub(tmp_path: Path) -> None:
    left = RateLimit(FIRST, 0, 10, int(time.time()) + 999)
    log = LaunchLog(PrivateFolder(tmp_path))
    for item in (Attempt(FIRST, SPEC, 1, 2), left, Attempt(SECOND, SPEC, 2, 2)):
        log(item)
    log.close(outcome="succeeded")
    assert last_rate_limit(PrivateFolder(tmp_path), SECOND) is None
    assert last_rate_limit(PrivateFolder(tmp_path), FIRST) == left


def test_the_oldest_logs_are_removed_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    later = [tmp_path / f"99990101T0000{second:02}.000Z-1.log" for second in range(30)]
    for path in later:
        path.touch()
    log = LaunchLog(PrivateFolder(tmp_path))
    log(Attempt(FIRST, SPEC, 1, 1))
    log.close(outcome="succeeded")
    assert log.path is not None
    assert {path.name for path in tmp_path.glob("*.log")} == {log.path.name, *(path.name for path in later[-19:])}


def end_a_launch(folder: PrivateFolder) -> LaunchLog:
    log = LaunchLog(folder)
    log(Attempt(FIRST, SPEC, 1, 1))
    log.close(outcome="succeeded")
    return log


def test_only_files_named_like_logs_are_removed(tmp_path: Path) -> None:
    others = ["a.log", "0.json", "20200101.log", "20200101T000000.000Z-1.log.gz", "x20200101T000000.000Z-1.log"]
    logs = [f"20200101T0000{second:02}.000Z-1.{suffix}" for second in range(30) for suffix in ("log", "json")]
    for name in (*others, *logs):
        (tmp_path / name).write_text("x")
    kept = end_a_launch(PrivateFolder(tmp_path)).path
    assert kept is not None
    assert {path.name for path in tmp_path.iterdir()} == {
        *others,
        *logs[-2 * 19 :],
        kept.name,
        kept.with_suffix(".json").name,
    }


def test_a_log_that_cannot_be_removed_does_not_keep_others(tmp_path: Path) -> None:
    for second in range(30):
        (tmp_path / f"20200101T0000{second:02}.000Z-1.log").touch()
    (tmp_path / "20200101T000000.000Z-2.log").mkdir()
    end_a_launch(PrivateFolder(tmp_path))
    assert len(list(tmp_path.glob("*.log"))) == 21


def test_no_log_is_written_or_removed_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    for second in range(30):
        (tmp_path / "target" / f"20200101T0000{second:02}.000Z-1.log").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "logs").symlink_to(tmp_path / "target")
    log = end_a_launch(PrivateFolder(tmp_path / "own").within("logs"))
    assert log.path is None
    assert "it is a symbolic link" in log.problem
    assert len(list((tmp_path / "target").iterdir())) == 30


def test_the_log_of_a_chatty_hub_is_bounded_and_tells_why_it_failed(tmp_path: Path) -> None:
    log = LaunchLog(PrivateFolder(tmp_path))
    log(Attempt(FIRST, SPEC, 1, 1))
    for _ in range(130):
        log(Event(Phase.BUILDING, f"{'x' * 1000}\n" * 1000))
        assert log.path is not None
        assert log.path.stat().st_size < 66 * 1024 * 1024
    log(Event(Phase.FAILED, "no such package: nump\n"))
    log.close(outcome="build-failed")
    assert log.path is not None
    with log.path.open(encoding="utf-8") as file:
        lines = file.readlines()
    assert "launching gh/org/name/main" in lines[0]
    assert lines[-1].endswith("failed    no such package: nump\n")
    assert sum(map(len, lines)) < 66 * 1024 * 1024
    (said,) = [line for line in lines if "left out" in line]
    assert re.search(r"clinder   \d{8,} bytes of the log are left out here", said)


def test_lines_that_a_bounded_log_multiplies_are_bounded_too(tmp_path: Path) -> None:
    """Each line gets its time and phase: empty ones become twenty times as long."""
    log = LaunchLog(PrivateFolder(tmp_path))
    log(Attempt(FIRST, SPEC, 1, 1))
    for _ in range(6):
        log(Event(Phase.BUILDING, "\n" * 1_000_000 + "x\n"))
    log.close(outcome="failed")
    assert log.path is not None
    assert 1024 * 1024 < log.path.stat().st_size < 66 * 1024 * 1024


def test_who_follows_a_log_whose_middle_is_left_out_sees_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "20260101T000000.000Z-1.log"
    path.write_text("a line of the beginning\n" * 10_000)

    def shorten(*_: object) -> None:
        path.write_text("a line of the beginning\n" * 1000 + "the end\n")
        path.with_suffix(".json").write_text("{}")

    monkeypatch.setattr(StateFolder, "is_locked", lambda _: True)
    monkeypatch.setattr(Interrupts, "sleep", shorten)
    _follow(past_launches(PrivateFolder(tmp_path))[0], StateFolder(tmp_path))
    assert capsys.readouterr().out.endswith("the end\n")
