"""Past launches, read from files that may be part of an untrusted checkout."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.github_action.summary import Report, summarize
from clinder.model.errors import BuildError, StateError
from clinder.output.documents import launch_document
from clinder.output.launches import LogReader, last_rate_limit, medians, past_launches, read_log
from clinder.output.timeline import timeline_svg, timeline_text
from clinder.system.folders import PrivateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.output.launches import PastLaunch

NAME = "20260101T000000.000Z-1"
HUB = "https://hub.example.org"
HOSTILE = "\x1b[31m\n::error::x\u202e##[error]\r" + "y" * 10_000
COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


@pytest.fixture
def logs(tmp_path: Path) -> PrivateFolder:
    folder = PrivateFolder(tmp_path / "logs")
    folder.make().close()
    return folder


def keep(logs: PrivateFolder, facts: object, log: str | bytes = "") -> PastLaunch:
    """Write the files of a launch and read them back."""
    (logs.path / f"{NAME}.log").write_bytes(log if isinstance(log, bytes) else log.encode())
    (logs.path / f"{NAME}.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))
    (launch,) = past_launches(logs)
    return launch


def shown(launch: PastLaunch) -> str:
    """All output about a launch."""
    usual = medians(launch, [])
    document = launch_document(launch, usual, "")
    summary = summarize(Report(launch=launch, error=BuildError("no")))
    return "\n".join([timeline_text(launch, usual), timeline_svg(launch, usual), json.dumps(document), summary])


def hostile_facts() -> dict[str, Any]:
    return {
        "hub": HOSTILE,
        "provider": "gh",
        "repo": HOSTILE,
        "ref": HOSTILE,
        "outcome": HOSTILE,
        "phases": [{"phase": HOSTILE, "seconds": 1.5}] * 1000,
    }


def test_hostile_facts_are_cleaned_and_cut(logs: PrivateFolder) -> None:
    text = shown(keep(logs, hostile_facts()))
    assert text.replace("\n", "").isprintable()
    assert not COMMAND.search(text)
    assert len(text) < 50_000


@pytest.mark.parametrize(
    "facts",
    [
        "",
        "[" * 100_000,
        "9" * 10_000,
        "null",
        '"' + "x" * 300_000 + '"',
        {"hub": 5, "provider": None, "repo": [], "ref": {}, "outcome": 5, "phases": 5},
        {"phases": [5, {"phase": "x"}, {"seconds": 1}, {"phase": "x", "seconds": "1"}]},
        '{"phases": [{"phase": "x", "seconds": 1e999}, {"phase": "x", "seconds": NaN}]}',
        {"phases": [{"phase": "x", "seconds": 10**300}, {"phase": "x", "seconds": -1}]},
    ],
    ids=lambda facts: str(facts)[:20],
)
def test_invalid_facts_are_omitted(logs: PrivateFolder, facts: object) -> None:
    launch = keep(logs, facts)
    assert (launch.hub, launch.spec, launch.outcome, launch.phases) == ("", None, "", ())
    assert shown(launch)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(facts=st.dictionaries(st.sampled_from(["hub", "provider", "repo", "ref", "outcome", "phases"]), _VALUES))
def test_any_facts_are_shown_or_omitted(tmp_path_factory: pytest.TempPathFactory, facts: dict[str, Any]) -> None:
    logs = PrivateFolder(tmp_path_factory.mktemp("logs"))
    assert not COMMAND.search(shown(keep(logs, facts)))


@pytest.mark.parametrize(
    "left",
    [
        5,
        [],
        {},
        {"remaining": "0", "limit": 1, "reset_at": 1},
        {"remaining": 0, "limit": 10, "reset_at": True},
        {"remaining": 0, "limit": 10, "reset_at": 10**400},
        {"remaining": 0, "limit": -1, "reset_at": 999},
        {"remaining": 0, "limit": 10, "reset_at": 10**6},
        {"remaining": 0, "limit": 10, "reset_at": -1},
    ],
    ids=lambda left: str(left)[:60],
)
def test_an_implausible_rate_limit_is_ignored(logs: PrivateFolder, left: Any) -> None:
    if isinstance(left, dict) and type(left.get("reset_at")) is int:
        left = {**left, "reset_at": int(time.time()) + left["reset_at"]}
    keep(logs, {"rate_limit": {HUB: left}})
    assert last_rate_limit(logs, HUB) is None


def test_only_as_many_launches_are_read_as_are_kept(logs: PrivateFolder) -> None:
    for second in range(60):
        (logs.path / f"20260101T0000{second:02}.000Z-1.log").touch()
    (logs.path / "zzz.log").touch()
    launches = past_launches(logs)
    assert [launch.name[13:15] for launch in launches] == [f"{second:02}" for second in range(59, 39, -1)]


# The log itself


@pytest.mark.parametrize("before", [0, 65_534, 65_535, 65_536, 131_071])
def test_a_ci_command_is_found_wherever_the_log_is_divided(logs: PrivateFolder, before: int) -> None:
    log = "x" * max(before - 1, 0) + "\n::error::pwn\n"
    assert not COMMAND.search(read_log(keep(logs, {}, log)))


def test_a_very_long_line_is_shown_in_pieces(logs: PrivateFolder) -> None:
    launch = keep(logs, {}, " " * 200_000 + "::error::" + "\x1b[2J" * 50_000)
    shown = read_log(launch)
    assert not COMMAND.search(shown)
    assert "\x1b" not in shown


def test_an_incomplete_character_is_waited_for(logs: PrivateFolder) -> None:
    launch = keep(logs, {}, b"caf\xc3")
    with LogReader(launch) as log:
        assert list(log.lines(is_all=False)) == []
        with launch.path.open("ab") as file:
            file.write(b"\xa9\nmore")
        assert "".join(log.lines(is_all=False)) == "caf\u00e9\n"
        assert "".join(log.lines(is_all=True)) == "more\n"


def test_only_the_end_of_a_very_large_log_is_shown(logs: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinder.output.launches._LOG_BYTES", 100_000)
    launch = keep(logs, {}, "a line\n" * 50_000 + "the last\n")
    shown = read_log(launch)
    assert shown.startswith(f"[the first 250009 bytes of {launch.path} are not shown]\n")
    assert shown.endswith("a line\nthe last\n")
    assert len(shown) < 101_000
    with LogReader(launch) as log:
        assert len("".join(log.lines(is_all=True))) == 350_009


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_log_that_cannot_be_read_is_named(logs: PrivateFolder, kind: str) -> None:
    path = logs.path / f"{NAME}.log"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc/passwd")
    (launch,) = past_launches(logs)
    with pytest.raises(StateError, match=re.escape(f"{path} cannot be read: it is ")):
        read_log(launch)
