"""Commands in unusual situations: errors in clinder.toml, empty paths, questions answered with no."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, LIMIT_S, clinder
from hub.servers import TOKEN, JupyterSession
from unit.spoiled import each_spoiled_file

from clinder.model.session import Session
from clinder.state import State, StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def recorded(tmp_path: Path, session: JupyterSession) -> Path:
    """A folder with this recorded session and an invalid clinder.toml."""
    StateFolder(tmp_path / ".clinder").write(State(session=Session(url=session.session_url, token=TOKEN)))
    (tmp_path / "clinder.toml").write_text('hbu = "local"\nrepo = "org/name"\n')
    return tmp_path


def test_an_invalid_file_does_not_prevent_stopping(recorded: Path, session: JupyterSession) -> None:
    done = clinder(recorded, "down")
    assert "hbu is not a known key: did you mean hub? (clinder.toml)" in done.stderr
    assert session.was_shut_down


@each_spoiled_file
def test_down_stops_the_session_with_any_kind_of_file(
    recorded: Path, session: JupyterSession, spoil: Callable[[Path], object]
) -> None:
    (recorded / "clinder.toml").unlink()
    spoil(recorded / "clinder.toml")
    done = clinder(recorded, "down")
    assert "warning: " in done.stderr
    assert "The file is ignored." in done.stderr
    assert session.was_shut_down


@each_spoiled_file
def test_every_other_command_reports_an_unusable_file(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(tmp_path / "clinder.toml")
    done = clinder(tmp_path, "plan", "--json", expect=2)
    assert done.document["error"]["kind"] == "config"
    assert str(tmp_path / "clinder.toml") in done.document["error"]["message"]
    assert len(done.stderr) < 2000


def test_down_stops_the_session_if_the_named_file_is_missing(recorded: Path, session: JupyterSession) -> None:
    (recorded / "clinder.toml").unlink()
    done = clinder(recorded.parent, "down", "--config", str(recorded / "clinder.toml"))
    assert "does not exist" in done.stderr
    assert session.was_shut_down


def test_a_mistyped_file_name_is_not_reported_as_nothing_to_stop(recorded: Path, session: JupyterSession) -> None:
    done = clinder(recorded, "down", "--config", "elsewhere/clinder.toml", expect=2)
    assert "elsewhere/clinder.toml does not exist" in done.stderr
    assert not session.was_shut_down


def test_an_invalid_option_of_down_is_an_error(recorded: Path, session: JupyterSession) -> None:
    done = clinder(recorded, "down", "--timeouts-stop", "soon", expect=2)
    assert "timeouts.stop: 'soon' is not a duration" in done.stderr
    assert not session.was_shut_down


def test_an_invalid_file_does_not_prevent_forgetting(recorded: Path) -> None:
    assert TOKEN in clinder(recorded, "state", "forget", "--yes").stdout
    assert StateFolder(recorded / ".clinder").read().session is None


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path) -> None:
    done = clinder(tmp_path, "status", "--state-dir", "", expect=2)
    assert "--state-dir: expected a path, got an empty string" in done.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "arguments", [("stop", "--hub", "local"), ("down", "--repo", "a/b"), ("status", "--retry-wait", "1s")]
)
def test_an_option_without_effect_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert f"No such option: {arguments[1]}" in clinder(tmp_path, *arguments, expect=2).stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_answering_no_changes_nothing(recorded: Path) -> None:
    main, terminal = os.openpty()
    with subprocess.Popen(
        [CLINDER, "state", "forget"], cwd=recorded, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        os.close(terminal)
        os.write(main, b"n\n")
        stdout, stderr = process.communicate(timeout=LIMIT_S)
    os.close(main)
    assert (process.returncode, stdout.strip()) == (0, b"")
    assert b"nothing was forgotten" in stderr
    assert StateFolder(recorded / ".clinder").read().session


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_closed_stdin_is_not_an_answer(recorded: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{CLINDER} state forget <&-"],
        cwd=recorded,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "Use --yes" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_an_unanswered_question_changes_nothing(recorded: Path, key: bytes) -> None:
    main, terminal = os.openpty()
    with subprocess.Popen(
        [CLINDER, "state", "forget"], cwd=recorded, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE
    ) as process:
        os.close(terminal)
        assert process.stderr
        said = b""
        while b"?" not in said:
            said += os.read(process.stderr.fileno(), 4096)
        if key == b"\x03":  # not the controlling terminal, so it sends no signal
            process.send_signal(signal.SIGINT)
        os.write(main, key)
        said += process.stderr.read()
        process.wait(LIMIT_S)
    os.close(main)
    assert process.returncode == 130
    assert b"internal error" not in said
    assert StateFolder(recorded / ".clinder").read().session
