"""`clinder logs` and `status --watch`."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from books import started
from commands import clinder
from hub.servers import JupyterSession, Server, event, play

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from hub.servers import Connection, Request

LIMIT_S = 60.0
WORDS = "<b>&amp; \x1b[31mred\x1b[0m\n"


@pytest.fixture
def hub(session: JupyterSession) -> Iterator[Server]:
    """A hub that builds for half a second."""

    def launch(request: Request, connection: Connection) -> None:
        building = event("building", f"step 1 {WORDS}")
        play(connection, event("waiting", "queued\n"), building, 0.5, event("built", "done\n"), session.ready())

    with Server(launch) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, hub: Server) -> Path:
    (tmp_path / "clinder.toml").write_text(f'hub = "{hub.url}"\nrepo = "org/name"\n[session]\nwarm = "off"\n')
    return tmp_path


def test_logs_show_the_cleaned_log_of_this_launch_and_earlier_ones(project: Path, hub: Server) -> None:
    clinder(project, "up", "-q")
    clinder(project, "run", "--replace", "--ref", "other", "--", "true")
    last, before = (clinder(project, "logs", *which).stdout for which in ([], ["1"]))
    assert "launching gh/org/name/other" in last
    assert "launching gh/org/name/HEAD" in before
    assert re.search(r"^ +\d+\.\d{3} building  step 1 <b>&amp; red$", last, re.MULTILINE)
    assert "there are 2 logs" in clinder(project, "logs", "2", expect=2).stderr
    medians = clinder(project, "logs", "--json").document["phases"]
    assert all(phase["median_seconds"] is not None for phase in medians), "launches of the other ref count too"


def test_the_timeline_is_shown_as_text_json_and_picture(project: Path) -> None:
    clinder(project, "up", "-q")
    document = clinder(project, "logs", "--json").document
    assert document["outcome"] == "succeeded"
    seconds = {phase["phase"]: phase["seconds"] for phase in document["phases"]}
    assert 0.4 < seconds["building"] < 10
    assert [phase["median_seconds"] for phase in document["phases"]] == [None] * len(seconds)
    lines = clinder(project, "logs", "--timeline").stdout.splitlines()
    assert lines[0].startswith("gh/org/name/HEAD on http://127.0.0.1:")
    assert [line.split()[0] for line in lines[1:-1]] == list(seconds)
    widths = {line.split()[0]: line.count("\N{FULL BLOCK}") for line in lines[1:-1]}
    assert widths["building"] == max(widths.values())
    said = clinder(project, "logs", "--svg", "launch.svg").stderr
    assert "launch.svg" in said
    root = ET.parse(project / "launch.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{*}rect")) == len(seconds)


def test_a_failed_launch_has_a_log(project: Path, hub: Server) -> None:
    hub.handler = lambda _request, connection: play(connection, event("failed", "no such thing\n"))
    clinder(project, "up", "-q", expect=5)
    document = clinder(project, "logs", "--json").document
    assert document["outcome"] == "build-failed"
    assert "no such thing" in document["log"]


def test_without_a_launch_there_is_no_log(tmp_path: Path) -> None:
    assert "there is no log" in clinder(tmp_path, "logs", expect=2).stderr


def read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if word in line:
            return read
    raise AssertionError(f"no {word!r} in {read!r}")


def test_follow_shows_new_lines_until_the_launch_ends(project: Path, hub: Server, session: JupyterSession) -> None:
    go_on: list[bool] = []

    def launch(request: Request, connection: Connection) -> None:
        play(connection, event("building", "first words\n"), 0.3, event("building", "later\n"), hold, session.ready())

    def hold(connection: Connection) -> None:
        while not go_on:
            connection.wait(0.01)

    hub.handler = launch
    with started(project, "up") as launching:
        logs = project / ".clinder" / "logs"
        while not any(logs.glob("*.log")):
            assert launching.poll() is None
        with started(project, "logs", "--follow") as following:
            assert "first words" in read_until(following, "later")
            go_on.append(True)
            following.communicate(timeout=LIMIT_S)
        launching.communicate(timeout=LIMIT_S)
    assert (launching.returncode, following.returncode) == (0, 0)


def test_status_watch_repeats_until_the_session_is_gone(project: Path, session: JupyterSession) -> None:
    clinder(project, "up", "-q")
    with started(project, "status", "--watch", "--every", "0.1s") as watching:
        read_until(watching, "running")
        read_until(watching, "running")
        session.mode = "404"
        read_until(watching, "gone")
        watching.communicate(timeout=LIMIT_S)
    assert watching.returncode == 6


def test_status_watch_ends_with_ctrl_c(project: Path) -> None:
    clinder(project, "up", "-q")
    with started(project, "status", "--watch", "--every", "10s", "--json") as watching:
        read_until(watching, "}")
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=LIMIT_S)
    assert watching.returncode == 130
    assert "Traceback" not in said


def test_status_watch_prints_each_status_and_error_as_one_line_of_json(project: Path, session: JupyterSession) -> None:
    clinder(project, "up", "-q")
    with started(project, "status", "--watch", "--every", "10s", "--json") as watching:
        first = read_until(watching, "running")
        watching.send_signal(signal.SIGINT)
        rest, _ = watching.communicate(timeout=LIMIT_S)
    assert json.loads(first)["state"] == "running"
    (last,) = rest.splitlines()
    assert json.loads(last)["error"]["kind"] == "interrupted"
    session.mode = "404"
    (only,) = clinder(project, "status", "--watch", "--json", expect=6).stdout.splitlines()
    assert json.loads(only)["state"] == "gone"


def test_status_watch_ends_when_the_pipe_is_closed(project: Path) -> None:
    clinder(project, "up", "-q")
    with started(project, "status", "--watch", "--every", "0.1s", "--json") as watching:
        read_until(watching, "running")
        assert watching.stdout is not None
        watching.stdout.close()
        assert watching.wait(LIMIT_S) == 0


def test_status_watch_requires_an_interval_greater_than_zero(project: Path) -> None:
    assert (
        "--every: expected a duration greater than zero, got '0'"
        in clinder(project, "status", "--watch", "--every", "0", expect=2).stderr
    )
