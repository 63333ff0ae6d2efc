"""Turn a verb into a command: add the shared options, and print its result.

A verb is a function that takes an `Invocation` and its own options and returns a `Result`. The decorator `command`
selects the shared options, so that each option is defined once.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from clinder.cli.parsing import Command as ParsedCommand
from clinder.config.loading import load_config, load_config_despite_file
from clinder.config.settings import option_name, setting_default, setting_description, setting_keys, setting_type
from clinder.model.display import show_value
from clinder.model.duration import format_duration, parse_duration
from clinder.model.errors import UsageError
from clinder.operations.context import DEFAULT_LOCK_TIMEOUT_S, RunContext, recall_nothing
from clinder.output.launches import last_rate_limit
from clinder.output.progress import progress
from clinder.output.result import Result, print_warning, show
from clinder.state import StateFolder
from clinder.system.interrupts import Interrupts
from clinder.system.places import find_file, find_state_dir_despite_file, is_state_dir_named, named_file

if TYPE_CHECKING:
    from clinder.config.loading import Config

Verb: TypeAlias = Callable[..., Result]

LAUNCH_SETTINGS = tuple(key for key in setting_keys() if key != "session.path")
"""The settings used by a launch: all but the path for `open`."""

_SHARED = "Shared options"
_SETTINGS = "Settings (instead of clinder.toml)"

_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_SHARED)]
_QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="Only show warnings and errors.", rich_help_panel=_SHARED)]
_VERBOSE = Annotated[bool, typer.Option("--verbose", "-v", help="Show more detail.", rich_help_panel=_SHARED)]
_CONFIG = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="FILE", help="Read this file instead of the nearest clinder.toml.", rich_help_panel=_SHARED
    ),
]
_STATE_DIR = Annotated[
    str | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="Keep the state here instead of in .clinder beside clinder.toml.",
        rich_help_panel=_SHARED,
    ),
]
_LOCK_TIMEOUT = Annotated[
    str | None,
    typer.Option(
        "--lock-timeout",
        metavar="TIME",
        help="How long to wait for another clinder process [default: 10m].",
        rich_help_panel=_SHARED,
    ),
]
_SETTINGS_HELP = {
    "hub": 'URL of the hub, or "local"; separate several with commas.',
    "repo": "Repository: org/name, PROVIDER:REPOSITORY, a DOI, a URL, a Binder link or a folder.",
    "ref": "Branch, tag or commit.",
}


@dataclass(frozen=True)
class Invocation:
    """One run of a command, with the given shared options.

    Attributes:
        as_json: whether to print the result as JSON.
        quiet: whether to only show warnings and errors.
        verbose: whether to show more detail.
        config_file: the file given with `--config`.
        state_dir: the folder given with `--state-dir`.
        lock_timeout: the duration given with `--lock-timeout`.
        settings: the values of the setting options, by dotted key.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    config_file: Path | None = None
    state_dir: Path | None = None
    lock_timeout: str | None = None
    settings: dict[str, str | None] | None = None

    def find_file(self) -> Path | None:
        """Get the path of `clinder.toml`: the one given with `--config`, else the nearest from here upwards.

        Raises:
            ConfigFileError: the file given with `--config` does not exist; or the nearest belongs to another user.
            UsageError: the current folder was deleted.
        """
        named = self.config_file or os.environ.get("CLINDER_CONFIG")
        return named_file(Path(named)) if named else find_file()

    def load_config(
        self,
        *,
        discover_file: bool = True,
        needs_file: bool = True,
        settings: dict[str, str | None] | None = None,
    ) -> Config:
        """Load the settings from options, environment and file, and print warnings about them.

        Args:
            discover_file: whether to look for the nearest `clinder.toml`, or only read one given with `--config`.
            needs_file: whether an unusable file is an error; otherwise it is ignored.
            settings: values that take precedence over the setting options.

        Raises:
            ConfigError: with every error.
            UsageError: the current folder was deleted.
        """
        options = {**(self.settings or {}), **(settings or {})}
        if needs_file:
            file = self.find_file() if discover_file or self.config_file else None
            config = load_config(options=options, file=file, state_dir=self.state_dir)
        else:
            config = load_config_despite_file(self.find_file, options=options, state_dir=self.state_dir)
        for warning in config.warnings:
            print_warning(warning)
        return config

    def state_folder(self) -> StateFolder:
        """Get the state folder: the one given by option or environment, else `.clinder` beside `clinder.toml`.

        Raises:
            ConfigFileError: the file cannot be used, and there is no state folder.
            UsageError: the current folder was deleted.
        """
        folder = find_state_dir_despite_file(self.find_file, self.state_dir)
        return StateFolder(folder, is_named=is_state_dir_named(self.state_dir))

    @contextlib.contextmanager
    def context(self, config: Config | None) -> Iterator[RunContext]:
        """Show progress and handle signals while the block runs; with a `config`, write a log into its state folder.

        Raises:
            UsageError: `--lock-timeout` is not a duration.
        """
        logs = StateFolder.of(config).logs if config else None
        with (
            Interrupts().installed() as interrupts,
            progress(quiet=self.quiet, verbose=self.verbose, logs=logs) as on_event,
        ):
            yield RunContext(
                on_event=on_event,
                interrupts=interrupts,
                lock_timeout_s=self._lock_timeout_s(),
                build_token=os.environ.get("CLINDER_BUILD_TOKEN") or None,
                recall=partial(last_rate_limit, logs) if logs else recall_nothing,
            )

    def _lock_timeout_s(self) -> float:
        given = self.lock_timeout or os.environ.get("CLINDER_LOCK_TIMEOUT")
        if not given:
            return DEFAULT_LOCK_TIMEOUT_S
        return read_seconds("--lock-timeout", given)


def read_path(option: str, given: str | None) -> Path | None:
    """Read the path given with an option; `None` if it is not given.

    Raises:
        UsageError: it is empty, usually from an unset variable; it would mean the current folder.
    """
    if given == "":
        raise UsageError(f"{option}: expected a path, got an empty string")
    return Path(given) if given else None


def read_seconds(option: str, given: str) -> float:
    """Read the duration given with an option, in seconds.

    Raises:
        UsageError: it is not a duration.
    """
    try:
        return parse_duration(given).total_seconds()
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def read_interval_s(option: str, given: str) -> float:
    """Read the interval given with an option, in seconds.

    Raises:
        UsageError: it is not a duration, or it is zero, which would keep a processor busy.
    """
    seconds = read_seconds(option, given)
    if not seconds:
        raise UsageError(f"{option}: expected a duration greater than zero, got {show_value(given)}")
    return seconds


@dataclass(frozen=True)
class Command:
    """A verb with its name and shared options.

    Attributes:
        verb: the function; it takes an `Invocation` and its own options and returns a `Result`.
        name: the name of the command.
        shared: the type (for Typer) and default of each shared option, by field of `Invocation`.
        settings: the keys of `clinder.toml` that have an option.
        passes_arguments: whether everything from the first argument on is passed to another program.
    """

    verb: Verb
    name: str
    shared: Mapping[str, tuple[Any, Any]]
    settings: Sequence[str] = ()
    passes_arguments: bool = False

    def add_to(self, app: typer.Typer) -> None:
        """Add this command to an application."""
        settings = _settings_options(self.settings)

        def run(**given: Any) -> int:
            for name, option in (("config_file", "--config"), ("state_dir", "--state-dir")):
                if name in given:
                    given[name] = read_path(option, given[name])
            invocation = Invocation(
                **{name: given.pop(name) for name in self.shared},
                settings={key: given.pop(name) for name, (key, _) in settings.items()},
            )
            result = self.verb(invocation, **given)
            show(result, as_json=invocation.as_json, quiet=invocation.quiet)
            return result.exit_status

        parameters = list(inspect.signature(self.verb, eval_str=True).parameters.values())[1:]
        parameters += [_option(name, kind, None) for name, (_, kind) in settings.items()]
        parameters += [_option(name, kind, default) for name, (kind, default) in self.shared.items()]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        parsing = {"allow_interspersed_args": False} if self.passes_arguments else None
        app.command(self.name, cls=ParsedCommand, help=inspect.getdoc(self.verb), context_settings=parsing)(run)


def _option(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def command(
    name: str,
    *,
    json: bool = True,
    progress: bool = False,
    config: bool = True,
    state: bool = True,
    settings: Sequence[str] = (),
    passes_arguments: bool = False,
) -> Callable[[Verb], Command]:
    """Turn a verb into a command with shared options.

    Args:
        name: the command's name.
        json: whether it takes `--json`.
        progress: whether it takes `--verbose` and, with `state`, `--lock-timeout`.
        config: whether it takes `--config`.
        state: whether it takes `--state-dir`.
        settings: the keys of `clinder.toml` for which it has an option.
        passes_arguments: whether everything from the first argument on is passed to another program.
    """
    shared: dict[str, tuple[Any, Any]] = {}
    if json:
        shared["as_json"] = (_JSON, False)
    shared["quiet"] = (_QUIET, False)
    if progress:
        shared["verbose"] = (_VERBOSE, False)
    if config:
        shared["config_file"] = (_CONFIG, None)
    if state:
        shared["state_dir"] = (_STATE_DIR, None)
    if state and progress:
        shared["lock_timeout"] = (_LOCK_TIMEOUT, None)
    return lambda verb: Command(verb, name, shared, settings, passes_arguments)


def _settings_options(keys: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """Make the options for settings: the dotted key and type (for Typer), by parameter name."""
    options = {}
    for key in keys:
        help_text = _SETTINGS_HELP.get(key) or f"{setting_description(key)} [default: {_show(setting_default(key))}]"
        metavar = setting_type(key).metavar
        option = typer.Option(option_name(key), metavar=metavar, help=help_text, rich_help_panel=_SETTINGS)
        options[key.replace(".", "_")] = (key, Annotated[str | None, option])
    return options


def _show(value: object) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)
