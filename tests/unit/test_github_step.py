"""`action/start.py` without Node.js: the step that brings up a session, and the one that stops it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hub.servers import TOKEN, JupyterSession, Server, event, eventually, stream

from clinder.github_action import github
from unit.spoiled import each_spoiled_file

if TYPE_CHECKING:
    from collections.abc import Callable

START = Path(__file__).parents[2] / "action" / "start.py"
LIMIT_S = 60


class Step:
    """A step with its folder, files and inputs."""

    def __init__(self, place: Path, **inputs: str) -> None:
        self.folder = place / "step"
        self.folder.mkdir()
        self.files = {name: place / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        given = {f"INPUT_{name.replace('_', '-').upper()}": value for name, value in inputs.items()}
        named = {name: str(path) for name, path in self.files.items()}
        self.environment = {**os.environ, **given, **named, "GITHUB_WORKSPACE": str(place)}

    def start(self, verb: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(START), verb, str(self.folder), *(["0"] if verb == "up" else [])],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, verb: str) -> tuple[int, str]:
        with self.start(verb) as process:
            assert process.stdout is not None
            printed = process.stdout.read()  # stdin stays open meanwhile
            return process.wait(LIMIT_S), printed


def test_a_session_is_brought_up_kept_alive_and_stopped(tmp_path: Path, session: JupyterSession, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name", keep_alive="true")
    status, printed = step.run("up")
    assert status == 0, printed
    assert "the session is up, and is kept active" in printed
    assert TOKEN in step.files["GITHUB_ENV"].read_text()
    assert "a session is up" in step.files["GITHUB_STEP_SUMMARY"].read_text()
    status, printed = step.run("down")
    assert status == 0
    assert "ended: the job is over" in printed
    assert session.was_shut_down
    assert not step.folder.exists()


def test_a_failure_is_annotated_and_summarized(tmp_path: Path, hub: Server) -> None:
    hub.handler = stream(event("building", "Step 1\n"), event("failed", "no such package\n"))
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    status, printed = step.run("up")
    assert status == 5
    assert "::error title=clinder%3A build failed::" in printed
    assert "no such package" in step.files["GITHUB_STEP_SUMMARY"].read_text()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"hub_url": "local"}, "on the runner itself"),
        ({"timeouts_build": "soon"}, "(input timeouts-build)"),
        ({"working_directory": "nowhere"}, "that the repository is checked out"),
        ({"config": "nowhere.toml"}, "Check the input config"),
        ({"summary": "no"}, "expected true or false"),
    ],
    ids=str,
)
def test_an_invalid_input_is_named(tmp_path: Path, inputs: dict[str, str], words: str) -> None:
    status, printed = Step(tmp_path, repo="org/name", **inputs).run("up")
    assert status == 2
    assert words in printed


def test_every_error_in_the_settings_is_shown(tmp_path: Path) -> None:
    (tmp_path / "clinder.toml").write_text('hbu = "local"\nref = 5\n')
    status, printed = Step(tmp_path, repo="org/name", timeouts_build="soon").run("up")
    assert status == 2
    for words in ("3 errors", "hbu is not a known key", "ref: expected a string, not 5", "(input timeouts-build)"):
        assert words in printed


@each_spoiled_file
def test_an_invalid_file_does_not_prevent_the_cleanup(
    tmp_path: Path, session: JupyterSession, hub: Server, spoil: Callable[[Path], object]
) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    assert step.run("up")[0] == 0
    spoil(tmp_path / "clinder.toml")
    status, printed = step.run("down")
    assert status == 0
    assert "The file is ignored." in printed
    assert session.was_shut_down
    assert not step.folder.exists()


@pytest.mark.parametrize("name", ["INPUT_TIMEOUTS-STOP", "INPUT_SUMMARY", "INPUT_WORKING-DIRECTORY", "INPUT_CONFIG"])
def test_invalid_inputs_do_not_prevent_the_stop(
    tmp_path: Path, session: JupyterSession, hub: Server, name: str
) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    assert step.run("up")[0] == 0
    step.environment[name] = "nonsense"
    assert step.run("down")[0] == 0
    assert session.was_shut_down
    assert not step.folder.exists()


def test_the_token_is_removed_even_if_the_session_cannot_be_stopped(
    tmp_path: Path, session: JupyterSession, hub: Server
) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name", timeouts_stop="1s")
    assert step.run("up")[0] == 0
    (step.folder / "state" / "state.json").write_text("nonsense")
    status, printed = step.run("down")
    assert status == 0
    assert "::warning title=clinder%3A the session may be left running::" in printed
    assert not step.folder.exists()


def test_a_token_that_cannot_be_removed_is_reported(
    tmp_path: Path, session: JupyterSession, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    folder = tmp_path / "step"
    folder.mkdir()
    assert github.main(["down", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"{folder}, which contains the session's token, cannot be removed: Permission denied" in printed


def test_repository_and_commit_come_from_the_event(tmp_path: Path, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url)
    commit = "a" * 40
    step.environment |= {"GITHUB_REPOSITORY": "org/name", "GITHUB_SHA": commit, "GITHUB_EVENT_NAME": "schedule"}
    event_file = tmp_path / "event.json"
    event_file.write_text('{"repository": {"private": true}}')
    step.environment["GITHUB_EVENT_PATH"] = str(event_file)
    status, printed = step.run("up")
    assert status == 0
    assert [request.path for request in hub.asked("/build/")] == [f"/build/gh/org/name/{commit}"]
    assert "org/name is private" in printed
    step.run("down")


def test_the_end_of_stdin_interrupts_the_launch(tmp_path: Path, hub: Server) -> None:
    hub.handler = stream(event("building", "Step 1\n"), "hold")
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    with step.start("up") as process:
        assert process.stdin is not None
        eventually(lambda: hub.asked("/build/"), "the hub is asked")
        process.stdin.close()
        assert process.wait(LIMIT_S) == 130


def test_a_closed_stdout_does_not_end_the_launch(tmp_path: Path, session: JupyterSession, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    with step.start("up") as process:
        assert process.stdout is not None
        process.stdout.close()
        eventually(step.files["GITHUB_OUTPUT"].exists, "the outputs are set", 60)
        assert process.wait(LIMIT_S) == 0
    assert step.run("down")[0] == 0
    assert session.was_shut_down


def test_an_internal_error_is_annotated(tmp_path: Path, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    step.environment["GITHUB_ENV"] = str(tmp_path / "nowhere" / "env")
    status, printed = step.run("up")
    assert status == 1
    assert "internal error: FileNotFoundError" in printed
    assert step.run("down")[0] == 0


@pytest.mark.parametrize("words", ["", "no such package"], ids=["up", "failed"])
def test_a_summary_that_cannot_be_written_is_a_warning(tmp_path: Path, hub: Server, words: str) -> None:
    if words:
        hub.handler = stream(event("failed", f"{words}\n"))
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    step.environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "nowhere" / "summary")
    status, printed = step.run("up")
    assert status == (5 if words else 0), printed
    assert words in printed
    assert "::warning title=clinder::the summary of the run cannot be written" in printed
    assert step.run("down")[0] == 0


def test_an_empty_build_token_input_falls_back_to_the_environment(tmp_path: Path, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name", build_token="")
    step.environment["CLINDER_BUILD_TOKEN"] = "from-the-environment"
    assert step.run("up")[0] == 0
    assert [request.query for request in hub.asked("/build/")] == ["build_token=from-the-environment"]
    step.run("down")


def test_a_session_that_cannot_be_stopped_is_a_warning(tmp_path: Path, session: JupyterSession, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name", timeouts_stop="1s")
    step.run("up")
    session.mode = "503"
    status, printed = step.run("down")
    assert status == 0
    assert "::warning title=clinder%3A the session may be left running::" in printed


def test_an_unreadable_file_does_not_prevent_the_stop(tmp_path: Path, session: JupyterSession, hub: Server) -> None:
    step = Step(tmp_path, hub_url=hub.url, repo="org/name")
    step.run("up")
    (tmp_path / "clinder.toml").write_text("hub = 1")
    assert step.run("down")[0] == 0
    assert session.was_shut_down
