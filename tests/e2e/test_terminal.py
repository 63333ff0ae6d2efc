"""Progress on a real terminal and elsewhere, quiet mode, color, completion and usage errors."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, clinder
from embedded import cache

if sys.platform != "win32":
    import pty

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cache"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "clinder.toml").write_text('hub = "local"\nrepo = "."\n')
    return folder


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `clinder` in a new pseudo-terminal; return its exit status and output."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="40")
        os.execv(CLINDER, [CLINDER, *arguments])
    written = b""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), written.decode()


def test_a_terminal_shows_a_live_view_that_ends_as_a_summary(project: Path) -> None:
    status, written = on_a_terminal(project, "up")
    clinder(project, "down")
    assert status == 0
    assert "\x1b[?25l" in written, "a live view hides the cursor"
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "and shows it again"
    assert re.search(r"launching /.* on local: .*launching [\d.]+s", written)
    assert re.search(r"http://127\.0\.0\.1:\d+/user/", written)


def test_without_a_terminal_progress_is_plain_lines_on_stderr(project: Path) -> None:
    up = clinder(project, "up")
    assert "\x1b" not in up.stderr
    assert "launching | Launching server..." in up.stderr.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/user/[^/]+/\n", up.stdout)
    clinder(project, "down")


def test_quiet_only_prints_the_result(project: Path) -> None:
    up = clinder(project, "up", "--quiet")
    assert up.stderr == ""
    assert up.stdout
    clinder(project, "down", "-q")


def test_force_color_and_no_color_control_the_color(project: Path) -> None:
    forced = clinder(project, "up", "--ref", "..", env={**os.environ, "FORCE_COLOR": "1"}, expect=2)
    assert forced.stderr.startswith("\x1b[31mclinder:\x1b[0m ")
    refused = clinder(project, "up", "--ref", "..", env={**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1"}, expect=2)
    assert "\x1b" not in refused.stderr


def test_shell_completion_offers_commands(project: Path) -> None:
    variables = {"_CLINDER_COMPLETE": "complete_bash", "COMP_WORDS": "clinder st", "COMP_CWORD": "1"}
    offered = clinder(project, env={**os.environ, **variables}).stdout.split()
    assert {"start", "state", "status", "stop"} <= set(offered)


def test_the_version_is_shown(project: Path) -> None:
    assert re.fullmatch(r"clinder \d+\.\d+\.\d+\n", clinder(project, "--version").stdout)


def test_an_unknown_option_suggests_the_nearest_one(project: Path) -> None:
    assert "--replace" in clinder(project, "up", "--replase", expect=2).stderr
    failed = clinder(project, "up", "--json", "--replase", expect=2).document
    assert failed["error"]["kind"] == "usage"
