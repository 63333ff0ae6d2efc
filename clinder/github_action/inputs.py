"""The inputs of the GitHub Action, which the runner passes as `INPUT_*` environment variables."""

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
"""The setting for each input; the other inputs configure the action itself."""
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


@dataclass(frozen=True)
class Inputs:
    """The inputs under `with:` in a workflow.

    Attributes:
        settings: the given settings, by dotted key.
        build_token: the token for hubs that require one; from the input, else from `CLINDER_BUILD_TOKEN`.
        config_file: the `clinder.toml` named by an input, if any.
        folder: the folder where the search for the nearest `clinder.toml` starts.
        keeps_alive: whether the session is kept active until the job ends.
        keep_alive_for: the longest time for which it is kept active.
        has_summary: whether to write a summary on the page of the run.
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
        UsageError: an input is invalid; the message names it.
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
    """Get the path of `clinder.toml`: the one named by an input, else the nearest from the inputs' folder upwards.

    Raises:
        UsageError: that folder does not exist.
        ConfigFileError: the file does not exist, or belongs to another user.
    """
    if not os.path.isdir(inputs.folder):  # noqa: PTH112  # Path's raises without permission
        hint = "Check the input working-directory, and that the repository is checked out."
        raise UsageError(f"there is no folder {show_path(inputs.folder)}", hint=hint)
    if inputs.config_file:
        return places.named_file(inputs.config_file, "the input config")
    return places.find_file(inputs.folder, "the input config")


def configure(inputs: Inputs, state_dir: Path) -> tuple[Config, Source | None]:
    """Combine inputs, environment and `clinder.toml`; if none sets a repository, use that of the event.

    Returns:
        The settings, and the source from the event if it was used.

    Raises:
        ConfigError: with every error.
        UsageError: no repository is declared and the event names none; or the hub is the embedded one.
    """
    config, source = _load(inputs, state_dir, {}), None
    if config.link is None:
        source = read_source()
        from_event = {"repo": source.repo} | ({} if config.settings.ref else {"ref": source.ref})
        config = _load(inputs, state_dir, from_event)
    if LOCAL_HUB in config.hubs:
        raise UsageError(
            f"{config.describe('hub')}: the embedded hub runs its builds on the runner itself, next to its secrets, "
            "so the action does not support it",
            hint="Set a hub with the input hub-url, or run `clinder up` with clinder[local] in your own step.",
        )
    return config, source


def configure_to_stop(state_dir: Path) -> Config:
    """Combine inputs, environment and `clinder.toml`, ignoring invalid ones.

    Used at the end of a job, which may have changed or removed anything: the recorded session must still be stopped.
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
