"""The output of `--help`."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from clinder.cli import parsing
from clinder.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

SCREEN = {"COLUMNS": "80"}
LINES = 24
COMMANDS = {
    "Declare and run": ["init", "plan", "up", "run", "down"],
    "Use a session": ["env", "open"],
    "Inspect and repair": ["status", "logs", "state", "hub"],
    "Without files": ["start", "stop"],
}
EVERY = [*itertools.chain(*COMMANDS.values()), "hub check", "hub serve", "state show", "state forget", "state adopt"]
SIMULATIONS = ("--redirect", "--rate-limit", "--quota", "--ban", "--gone-as", "--keepalive", "--poll")


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--help"], env=SCREEN, prog_name="clinder")
    assert done.exit_code == 0
    return done.stdout


def test_commands_are_grouped_and_no_help_is_cut_off() -> None:
    found: dict[str, list[str]] = {}
    for title, rows in re.findall(r"^(\w[\w ]+):\n((?:  .+\n)+)", shown(), re.MULTILINE):
        found[title] = re.findall(r"^  (\w+)  ", rows, re.MULTILINE)
    assert {title: found[title] for title in COMMANDS} == COMMANDS
    assert "..." not in shown().partition("Declare and run")[2]


@pytest.mark.parametrize("command", EVERY)
def test_a_command_fits_a_screen_before_the_shared_options(command: str) -> None:
    own, _, _ = shown(*command.split()).partition("Settings (")
    own, _, _ = own.partition("Shared options:")
    assert len(own.splitlines()) <= LINES


def test_settings_and_shared_options_come_after_own_options() -> None:
    text = shown("state", "adopt")
    titles = re.findall(r"^(\w[^:\n]*):$", text, re.MULTILINE)
    assert titles == ["Arguments", "Options", "Settings (instead of clinder.toml)", "Shared options"]


@pytest.mark.parametrize("option", SIMULATIONS)
def test_options_that_simulate_failures_are_hidden(option: str) -> None:
    assert option not in shown("hub", "serve")


def test_a_command_has_no_option_that_it_ignores() -> None:
    assert "--session-path" not in shown("up") + shown("run") + shown("start")


@pytest.mark.parametrize("name", ["_CONVERSION", "_DESCRIPTOR"])
@pytest.mark.parametrize(
    "arguments", [("logs", "--json"), ("hub", "serve", "--port", "x"), ("status", "--state-dir", "")]
)
def test_typer_converts_if_its_undocumented_names_are_missing(
    name: str, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = CliRunner().invoke(app, arguments, prog_name="clinder")
    monkeypatch.setattr(parsing, name, "renamed")
    done = CliRunner().invoke(app, arguments, prog_name="clinder")
    assert (done.exit_code, type(done.exception)) == (usual.exit_code, type(usual.exception))
