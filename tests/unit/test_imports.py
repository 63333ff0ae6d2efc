"""Commands that need neither network nor embedded hub do not import them; checked in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clinder.state import State, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 60
HEAVY = ("requests", "urllib3", "rich.live", "rich.console", "clinder.localhub", "tornado", "jupyter_server", "yaml")
RUN = """
import json, sys
from clinder.cli import main
try:
    main()
except SystemExit as leaving:
    status = leaving.code
print()
print(json.dumps([status or 0, sorted(sys.modules)]))
"""


def run(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """Run clinder; return its exit status and the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    return status, set(modules)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--version",), 0),
        (("--help",), 0),
        (("up", "--help"), 0),
        (("status",), 6),
        (("down",), 0),
        (("state", "show"), 0),
    ],
    ids=str,
)
def test_commands_without_network_do_not_import_it(tmp_path: Path, arguments: tuple[str, ...], expected: int) -> None:
    status, modules = run(tmp_path, *arguments)
    assert status == expected
    assert not modules & set(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("env", "--no-check"),
        ("down",),
        ("plan", "--repo", "org/name"),
        ("start", "org/name", "--hub", "http://127.0.0.1:9", "--retry-attempts", "1", "--session-warm", "off", "-q"),
    ],
    ids=str,
)
def test_a_command_does_not_import_pydantic(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    StateFolder(tmp_path / ".clinder").write(State(pending=None, session=None))
    _, modules = run(tmp_path, *arguments)
    assert not modules & {"pydantic", "pydantic_core"}


def test_the_version_is_shown_without_making_commands(tmp_path: Path) -> None:
    _, modules = run(tmp_path, "--version")
    assert not modules & {"clinder.cli.up", "clinder.config.loading", "pydantic"}


def test_only_the_command_that_runs_is_made(tmp_path: Path) -> None:
    _, modules = run(tmp_path, "status")
    assert "clinder.cli.status" in modules
    assert not modules & {"clinder.cli.up", "clinder.cli.run", "clinder.cli.hub"}
