"""The migration pages for 2i2c's and Pangeo's tools have a row for each of their options, and the rows are true."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from commands import CLINDER, clinder
from embedded import cache, checkout, processes_of
from pages import DOCS, ROOT, blocks_of
from runner.job import LIMIT_S

from clinder.config.settings import setting_keys

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cache"]

FROM_2I2C = DOCS / "migrating-2i2c.md"
FROM_PANGEO = DOCS / "migrating-binderbot.md"

# The options that their action.yml and command lines declare.
ACTION_OF_2I2C = {"inputs": ["hub-url", "repo", "ref", "build-token"], "outputs": ["url", "token"]}
COMMAND_OF_2I2C = ["binderbot start", "--github-repo", "--github-ref", "--build-token", "--json", "binderbot stop"]
COMMAND_OF_PANGEO = [
    *("--binder-url", "--repo", "--ref", "--output-dir", "--nb-timeout", "--binder-start-timeout", "--pass-env-var"),
    "FILENAMES",
]


def rows(page: Path) -> list[tuple[str, str]]:
    """The first two cells of every row of the page's tables."""
    found = re.findall(r"^\| (.+?) \| (.+?) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [(left, right) for left, right in found if not left.startswith("---")]


def row(page: Path, option: str) -> str:
    """The second cell of an option's only row on the page."""
    (right,) = [right for left, right in rows(page) if re.search(rf"`(output )?{option}\b[^`]*`", left)]
    return right


@pytest.mark.parametrize("kind", ACTION_OF_2I2C)
def test_the_action_has_the_inputs_and_outputs_of_2i2c(kind: str) -> None:
    described = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    for name in ACTION_OF_2I2C[kind]:
        assert name in described[kind]
        cells = [(left, right) for left, right in rows(FROM_2I2C) if left.startswith((f"`{name}`", f"output `{name}`"))]
        ((_, right),) = cells
        assert f"`{name}`" in right


@pytest.mark.parametrize("option", COMMAND_OF_2I2C)
def test_every_option_of_the_2i2c_command_has_a_row(option: str) -> None:
    assert [left for left, _ in rows(FROM_2I2C) if f"`{option}" in left]


@pytest.mark.parametrize("option", COMMAND_OF_PANGEO)
def test_every_option_of_the_pangeo_command_has_a_row(option: str) -> None:
    assert row(FROM_PANGEO, option)


def test_the_settings_that_the_pages_name_exist() -> None:
    text = FROM_PANGEO.read_text(encoding="utf-8") + FROM_2I2C.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:timeouts|retry|session)\.\w+)`", text))
    assert named
    assert named <= set(setting_keys())


def commands(page: Path, word: str) -> str:
    """The block of a page that contains this word."""
    (block,) = [block for block in blocks_of(page) if block.language == "sh" and word in block.text]
    return block.text


def test_separate_start_and_stop_leave_nothing(tmp_path: Path) -> None:
    checkout(tmp_path / "project")
    script = commands(FROM_2I2C, "session.json").replace("org/name --hub https://mybinder.org", ". --hub local")
    assert script.count("--hub local") == 1
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path / "project",
        env={**os.environ, "PATH": f"{os.path.dirname(CLINDER)}{os.pathsep}{os.environ['PATH']}"},  # noqa: PTH120
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stopped: http://127.0.0.1:" in done.stderr
    assert not [process for process in processes_of(tmp_path) if "jupyter_server" in " ".join(process.cmdline())]


def test_no_variable_of_the_caller_reaches_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As both pages say: a session only has the variables of its repository."""
    monkeypatch.setenv("ARM_PASSWORD", "s3cret")
    folder = checkout(tmp_path / "project")
    clinder(folder, "up", "--hub", "local", "--repo", ".")
    try:
        servers = [process for process in processes_of(tmp_path) if "jupyter_server" in " ".join(process.cmdline())]
        assert servers
        assert not [server for server in servers if "ARM_PASSWORD" in server.environ()]
    finally:
        clinder(folder, "down")
