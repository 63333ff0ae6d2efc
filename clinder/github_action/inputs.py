"""The inputs of the GitHub Action, as the runner hands them over: `INPUT_*` in the environment."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from clinder.config.loading import load_config, load_config_despite_file
from clinder.config.settings import LOCAL_HUB
from clinder.github_action.event import read_source
from clinder.model.display import show_path, show_value
from clinder.model.duration import parse_duration
from clinder.model.errors import ClinderError, UsageError
from clinder.model.paths import absolute
from clinder.system import places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.config.loading import Config
    from clinder.github_action.event import Source

SETTINGS = {
    "hub-url": "hub",
    "repo": "repo",
    "ref": "ref",
    "timeouts-connect": "timeouts.connect",
    "timeouts-silence": "timeouts.silence",
    "timeouts-build": "timeouts.build",
    "timeouts-launch": "timeouts.launch",
    "timeouts-stop": "timeouts.stop",
    "retry-attempts": "retry.attempts",
    "warm": "session.warm",
}
"""By input, the setting that it gives; the other inputs say what the action itself does."""
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


@dataclass(frozen=True)
class Inputs:
    """What a workflow says under `with:`.

    Attributes:
        settings: by dotted key, the settings that are given.
        build_token: for hubs that ask for one; the input, else `CLINDER_BUILD_TOKEN`.
        config_file: the `clinder.toml` that is named, if one is.
        folder: where `clinder.toml` is looked for, from there upwards.
        keeps_alive: whether the session is kept from idling until the job ends.
        keep_alive_for: for how long at most.
        has_summary: whether the run's page tells of the launch.
    """

    settings: Mapping[str, str]
    build_token: str | None = dataclasses.field(repr=False)
    config_file: Path | None
    folder: Path
    keeps_alive: bool
    keep_alive_for: timedelta
    has_summary: bool


def read_inputs(environment: Mapping[str, str] | None = None) -> Inputs:
    """Read the inputs.

    Raises:
        UsageError: one of them makes no sense; it says which.
    """
    environment = os.environ if environment is None else environment

    def given(name: str) -> str:
        return environment.get(f"INPUT_{name.upper()}", "").strip()

    folder = absolute(Path(environment.get("GITHUB_WORKSPACE") or ".")) / given("working-directory")
    return Inputs(
        settings={key: given(name) for name, key in SETTINGS.items() if given(name)},
        build_token=given("build-token") or environment.get("CLINDER_BUILD_TOKEN") or None,
        config_file=folder / given("config") if given("config") else None,
        folder=folder,
        keeps_alive=_boolean("keep-alive", given("keep-alive"), default=False),
        keep_alive_for=_duration("keep-alive-for", given("keep-alive-for"), default=timedelta(hours=6)),
        has_summary=_boolean("summary", given("summary"), default=True),
    )


def _boolean(name: str, given: str, *, default: bool) -> bool:
    if given and given not in (*_TRUE, *_FALSE):
        raise UsageError(f"the input {name} is {show_value(given)}: expected true or false")
    return given in _TRUE if given else default


def _duration(name: str, given: str, *, default: timedelta) -> timedelta:
    try:
        return parse_duration(given) if given else default
    except ValueError as error:
        raise UsageError(f"the input {name}: {error}") from error


def find_file(inputs: Inputs) -> Path | None:
    """Say which `clinder.toml` counts: the one that is named, else the nearest from the inputs' folder upwards.

    Raises:
        UsageError: that folder is not there.
        ConfigFileError: the file is not there, or belongs to another user.
    """
    if not os.path.isdir(inputs.folder):  # noqa: PTH112  # Path's raises where it may not look
        hint = "Look at the input working-directory; is the repository checked out?"
        raise UsageError(f"there is no folder {show_path(inputs.folder)}", hint=hint)
    if inputs.config_file:
        return places.named_file(inputs.config_file, "the input config")
    return places.find_file(inputs.folder, "the input config")


def configure(inputs: Inputs, state_dir: Path) -> tuple[Config, Source | None]:
    """Bring inputs, environment and `clinder.toml` together; where they name no repository, the event does.

    Returns:
        What is declared; and what was taken from the event, if anything was.

    Raises:
        ConfigError: with every error.
        UsageError: neither is a repository declared nor does the event tell of one, or the hub is no hub for CI.
    """
    config, source = _load(inputs, state_dir, {}), None
    if config.link is None:
        source = read_source()
        from_event = {"repo": source.repo} | ({} if config.settings.ref else {"ref": source.ref})
        config = _load(inputs, state_dir, from_event)
    if LOCAL_HUB in config.hubs:
        raise UsageError(
            f"{config.describe('hub')}: the embedded hub runs what it builds on the runner itself, beside its secrets, "
            "so the action does without it",
            hint="Name a hub with the input hub-url; or run `clinder up` with clinder[local] in a step of your own.",
        )
    return config, source


def configure_to_stop(state_dir: Path) -> Config:
    """Bring inputs, environment and `clinder.toml` together once more; whatever is wrong with them now is ignored.

    For the end of a job, which may have changed or removed anything: the session is recorded, and must be stopped.
    """
    try:
        inputs = read_inputs()
        return load_config_despite_file(lambda: find_file(inputs), options=inputs.settings, state_dir=state_dir)
    except ClinderError:
        return load_config(environment={}, state_dir=state_dir)


def _load(inputs: Inputs, state_dir: Path, from_event: Mapping[str, str]) -> Config:
    """Load the settings; sources and errors name the inputs instead of options."""
    names = {key: "the event" if key in from_event else f"input {name}" for name, key in SETTINGS.items()}
    return load_config(
        options={**inputs.settings, **from_event},
        file=find_file(inputs),
        state_dir=state_dir,
        name_option=names.__getitem__,
    )
