"""How a verb becomes a command: the options that several share, and the rendering of what it comes back with.

A verb is a function of an `Invocation` and its own options that returns a `Result`. What it shares with others is
said with the decorator `command`, so that each option is written once.
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
from clinder.output.result import Result, say_warning, show
from clinder.state import StateFolder
from clinder.system.interrupts import Interrupts
from clinder.system.places import find_file, find_state_dir_despite_file, is_state_dir_named, named_file

if TYPE_CHECKING:
    from clinder.config.loading import Config

Verb: TypeAlias = Callable[..., Result]

LAUNCH_SETTINGS = tuple(key for key in setting_keys() if key != "session.path")
"""The settings that a launch reads: all but the path that `open` opens."""

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
    """One run of a command: the shared options as they were given.

    Attributes:
        as_json: whether the result is wanted as JSON.
        quiet: whether warnings and errors alone shall be shown.
        verbose: whether more shall be shown.
        config_file: the file that `--config` names.
        state_dir: the folder that `--state-dir` names.
        lock_timeout: how long to wait for the lock, as given.
        settings: by dotted key, what the options say.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    config_file: Path | None = None
    state_dir: Path | None = None
    lock_timeout: str | None = None
    settings: dict[str, str | None] | None = None

    def find_file(self) -> Path | None:
        """Say which `clinder.toml` counts: the one that `--config` names, else the nearest from here upwards.

        Raises:
            ConfigFileError: `--config` names none that is there; or the nearest belongs to another user.
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
        """Read options, environment and file; warnings are said at once.

        Args:
            discover_file: false: read a file only where `--config` names one.
            needs_file: false: ignore a file that cannot be used, as what is to be done is recorded elsewhere.
            settings: options that win over the shared ones.

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
            say_warning(warning)
        return config

    def state_folder(self) -> StateFolder:
        """Get the state folder: the one that is named, else `.clinder` beside the `clinder.toml` that counts.

        Raises:
            ConfigFileError: the file cannot be used, and there is no state folder.
            UsageError: the current folder was deleted.
        """
        folder = find_state_dir_despite_file(self.find_file, self.state_dir)
        return StateFolder(folder, is_named=is_state_dir_named(self.state_dir))

    @contextlib.contextmanager
    def context(self, config: Config | None) -> Iterator[RunContext]:
        """Show progress and listen to signals while the block runs; with a `config`, keep logs in its state folder.

        Raises:
            UsageError: `--lock-timeout` is no duration.
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
    """Read the path that an option gives; `None` where it is not given.

    Raises:
        UsageError: it is empty, most often from an unset variable; it would stand for the current folder.
    """
    if given == "":
        raise UsageError(f"{option}: expected a path, got an empty string")
    return Path(given) if given else None


def read_seconds(option: str, given: str) -> float:
    """Read the duration that an option gives, in seconds.

    Raises:
        UsageError: it is none.
    """
    try:
        return parse_duration(given).total_seconds()
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def read_interval_s(option: str, given: str) -> float:
    """Read how long an option says to wait between two looks, in seconds.

    Raises:
        UsageError: it is no duration, or none at all, which would keep a processor busy.
    """
    seconds = read_seconds(option, given)
    if not seconds:
        raise UsageError(f"{option}: {show_value(given)} is no time to wait")
    return seconds


@dataclass(frozen=True)
class Command:
    """A verb with its name and the options that it shares with others.

    Attributes:
        verb: takes an `Invocation` and its own options, returns a `Result`.
        name: as it is typed.
        shared: by field of `Invocation`, the type as Typer wants it and the default.
        settings: which keys of `clinder.toml` there is an option for.
        passes_arguments: whether everything from the first argument on belongs to another program.
    """

    verb: Verb
    name: str
    shared: Mapping[str, tuple[Any, Any]]
    settings: Sequence[str] = ()
    passes_arguments: bool = False

    def add_to(self, app: typer.Typer) -> None:
        """Make this a command of an application."""
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
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer looks at
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
    """Make a verb a command, and say which options it shares with others.

    Args:
        name: the command's name.
        json: whether it takes `--json`.
        progress: whether it takes `--verbose` and, with `state`, `--lock-timeout`.
        config: whether it takes `--config`.
        state: whether it takes `--state-dir`.
        settings: the keys of `clinder.toml` that it reads and takes an option for.
        passes_arguments: whether everything from the first argument on belongs to another program.
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
    """Make options of settings: by parameter name, the dotted key and the type as Typer wants it."""
    options = {}
    for key in keys:
        help_text = _SETTINGS_HELP.get(key) or f"{setting_description(key)} [default: {_show(setting_default(key))}]"
        metavar = setting_type(key).metavar
        option = typer.Option(option_name(key), metavar=metavar, help=help_text, rich_help_panel=_SETTINGS)
        options[key.replace(".", "_")] = (key, Annotated[str | None, option])
    return options


def _show(value: object) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)
