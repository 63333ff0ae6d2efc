"""Loading of settings from options, the environment and `clinder.toml`, with the source of each value.

Options take precedence over the environment, the environment over the file, and the file over the defaults.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clinder.config.settings import (
    ENVIRONMENT_PREFIX,
    LOCAL_HUB,
    TABLES,
    make_settings,
    option_name,
    setting_keys,
    setting_type,
    variable_name,
)
from clinder.model.display import show_path, show_text, show_value
from clinder.model.duration import format_duration
from clinder.model.errors import ClinderError, ConfigError, ConfigFileError, UsageError
from clinder.model.paths import current_folder
from clinder.model.providers import LOCAL
from clinder.model.repository import RepositoryLink, RepositorySpec, read_repository
from clinder.net.loopback import exposure
from clinder.system.places import (
    FILE_NAME,
    STATE_DIR_NAME,
    find_state_dir,
    find_state_dir_despite_file,
    is_state_dir_named,
)
from clinder.system.untrusted import UnreadableError, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clinder.config.settings import Settings, Timeouts

_NOT_SETTINGS = ("BUILD_TOKEN", "SESSION", "STATE_DIR", "CONFIG", "CACHE_DIR", "LOCK_TIMEOUT")
_MOST_UNKNOWN = 20
"""How many unknown keys are named: finding the most similar known key takes longer than reading the file."""
_LONGEST_KEY = 100


@dataclass(frozen=True)
class Value:
    """A value as given, with its source."""

    given: object
    source: str


@dataclass(frozen=True)
class Config:
    """The loaded settings.

    Attributes:
        settings: all values, validated.
        sources: the source of each value, by dotted key: `clinder.toml`, `--ref`, `CLINDER_REF`, `default`.
        link: the parsed value of `repo`; `None` if no repository is declared.
        file: the `clinder.toml` that was read, if any.
        known_state_dir: the state folder; `None` if it would be in the current folder, and that was deleted.
        warnings: problems that are not errors.
        state_dir_is_named: whether an option or a variable names the state folder.
    """

    settings: Settings
    sources: Mapping[str, str]
    link: RepositoryLink | None
    file: Path | None
    known_state_dir: Path | None
    warnings: tuple[str, ...] = ()
    state_dir_is_named: bool = False

    @property
    def state_dir(self) -> Path:
        """The state folder.

        Raises:
            UsageError: it would be in the current folder, and that was deleted.
        """
        return self.known_state_dir or current_folder() / STATE_DIR_NAME

    @property
    def hubs(self) -> tuple[str, ...]:
        """The hubs to try, in order."""
        return self.settings.hub

    @property
    def timeouts(self) -> Timeouts:
        """The time limits."""
        return self.settings.timeouts

    def spec(self) -> RepositorySpec:
        """Get the declared repository spec.

        Raises:
            ConfigError: no repository is declared.
        """
        if self.link is None:
            where = f"{self.file.name} has no repo" if self.file else f"there is no {FILE_NAME}"
            raise ConfigError(
                f"no repository is declared: {where}, and neither --repo nor CLINDER_REPO is set",
                hint="Run `clinder init` to write a clinder.toml, or use --repo org/name.",
            )
        return self.link.spec(self.settings.ref)

    def describe(self, key: str) -> str:
        """Format a setting with its source: `timeouts.build = 45m (clinder.toml)`."""
        value: Any = self.settings
        for name in key.split("."):
            value = getattr(value, name)
        if isinstance(value, timedelta):
            value = format_duration(value)
        elif isinstance(value, tuple):
            value = ", ".join(value)
        return f"{key} = {value} ({self.sources[key]})"


def load_config(
    *,
    options: Mapping[str, object] | None = None,
    file: Path | None = None,
    state_dir: Path | None = None,
    environment: Mapping[str, str] | None = None,
    name_option: Callable[[str], str] = option_name,
) -> Config:
    """Load the settings from options, the environment and a file.

    Args:
        options: values of options by dotted key; `None` means that an option was not given.
        file: the `clinder.toml` to read. It is not searched for here; use `find_file`.
        state_dir: the state folder, if an option names one.
        environment: defaults to `os.environ`.
        name_option: gets the name of the option for a key, for sources and errors.

    Raises:
        ConfigError: one or more values are invalid; the error lists all of them, with their sources.
    """
    environment = os.environ if environment is None else environment
    problems: list[str] = []
    warnings: list[str] = []
    layers = [
        _from_options(options or {}, name_option, problems),
        _from_environment(environment, warnings),
        _from_file(file, problems) if file else {},
    ]
    values: dict[str, Value] = {}
    link: RepositoryLink | None = None
    for layer in layers:
        layer_link = _expand_link(layer, file, problems)
        if link is None:
            link = layer_link
        for key, value in layer.items():
            values.setdefault(key, value)
    settings = _check(values, problems)
    if settings and link:
        _check_together(settings, link, values, problems)
    if problems or settings is None:
        where = show_path(file) if file else "the settings"
        hint = "`clinder.toml.example` shows every key."
        raise ConfigError(f"{where}: {_count(problems)}", problems=problems, hint=hint)
    sources = {key: values[key].source if key in values else "default" for key in setting_keys()}
    warnings += [f"{danger} ({sources['hub']})" for hub in settings.hub if (danger := exposure(hub))]
    known_state_dir: Path | None = None
    with contextlib.suppress(UsageError):  # commands without state also work without the current folder
        known_state_dir = find_state_dir(file, state_dir, environment)
    is_named = is_state_dir_named(state_dir, environment)
    return Config(settings, sources, link, file, known_state_dir, tuple(warnings), is_named)


def load_config_despite_file(
    find: Callable[[], Path | None], *, options: Mapping[str, object] | None = None, state_dir: Path | None = None
) -> Config:
    """Load the settings as `load_config` does, but ignore a file that cannot be used, with a warning.

    This is for commands that only need the recorded session, such as `down`: they work even if the file is invalid or
    belongs to another user.

    Args:
        find: a function that finds the file.
        options: see `load_config`.
        state_dir: see `load_config`.

    Raises:
        ConfigError: an option or a variable is invalid; or the file cannot be used, and there is no state folder.
        UsageError: the state folder would be in the current folder, and that was deleted.
    """
    try:
        return load_config(options=options, file=find(), state_dir=state_dir)
    except (ConfigError, UsageError) as error:
        folder = find_state_dir_despite_file(find, state_dir)
        config = load_config(options=options, state_dir=state_dir)
        warnings = (*config.warnings, f"{error.message}\nThe file is ignored.")
        return replace(config, known_state_dir=folder, warnings=warnings)


def _count(problems: list[str]) -> str:
    return "1 error" if len(problems) == 1 else f"{len(problems)} errors"


def _from_options(
    options: Mapping[str, object], name_option: Callable[[str], str], problems: list[str]
) -> dict[str, Value]:
    known = list(setting_keys())
    problems.extend(f"{key} is not a known key{_nearest(key, known)}" for key in options if key not in known)
    given = {key: value for key, value in options.items() if key in known and value is not None}
    return {key: Value(value, name_option(key)) for key, value in given.items()}


def _from_environment(environment: Mapping[str, str], warnings: list[str]) -> dict[str, Value]:
    known = {variable_name(key): key for key in setting_keys()}
    others = {ENVIRONMENT_PREFIX + name for name in _NOT_SETTINGS}
    layer: dict[str, Value] = {}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or not text:
            continue
        if name in known:
            layer[known[name]] = Value(text, name)
        elif name not in others and (near := difflib.get_close_matches(name, known, 1, 0.8)):
            warnings.append(f"{name} is not a clinder variable: did you mean {near[0]}?")
    return layer


def _from_file(file: Path, problems: list[str]) -> dict[str, Value]:
    try:
        document = read_toml(file)
    except UnreadableError as error:
        raise ConfigFileError(f"{show_path(file)} {error}", file=file) from error
    known = list(setting_keys())
    layer: dict[str, Value] = {}
    unknown: list[str] = []
    for name, given in document.items():
        if name in TABLES and isinstance(given, dict):
            found = {f"{name}.{inner}": value for inner, value in given.items()}
        elif name in TABLES:
            problems.append(f"{name} must be a table, [{name}], not {show_value(given)} ({file.name})")
            continue
        else:
            found = {name: given}
        for key, value in found.items():
            if key in known:
                layer[key] = Value(value, file.name)
            else:
                unknown.append(key)
    named = unknown[:_MOST_UNKNOWN]
    problems.extend(f"{show_text(key)} is not a known key{_nearest(key, known)} ({file.name})" for key in named)
    if len(unknown) > len(named):
        problems.append(f"{len(unknown) - len(named)} more unknown keys ({file.name})")
    return layer


def _nearest(key: str, known: list[str]) -> str:
    """Get a suggestion for an unknown key: a very similar key, one with the same beginning, or a similar one."""
    if len(key) > _LONGEST_KEY:
        return ""
    names = {
        **{name: name for name in known},
        **{name.partition(".")[2]: name for name in known if "." in name},
    }
    names |= {table: f"[{table}]" for table in TABLES}
    near = (
        difflib.get_close_matches(key, names, 1, 0.8)
        or [name for name in known if key.startswith(name)]
        or difflib.get_close_matches(key, names, 1, 0.6)
        or difflib.get_close_matches(key.rpartition(".")[2], names, 1, 0.6)
    )
    return f": did you mean {names[near[0]]}?" if near else ""


def _expand_link(layer: dict[str, Value], file: Path | None, problems: list[str]) -> RepositoryLink | None:
    """Set hub, ref and path of a layer from the link in `repo`, unless the layer has its own values."""
    repo = layer.get("repo")
    if repo is None or not isinstance(repo.given, str):
        return None
    base = file.parent if file and repo.source == file.name else None
    try:
        link = read_repository(repo.given, base=base)
    except ClinderError as error:
        hint = f". {error.hint}" if error.hint else ""
        problems.append(f"repo: {error.message} ({repo.source}){hint}")
        return None
    if base and leads_out(link, repo.given, base):
        problems.append(
            f"repo: {show_text(repo.given)} is outside of the folder of {repo.source}, "
            "and a file cannot name such a folder: use --repo or CLINDER_REPO"
        )
        return None
    source = f"the link in repo, {repo.source}"
    for key, given in (("hub", link.hub), ("ref", link.ref), ("session.path", link.path)):
        if given and key not in layer:
            layer[key] = Value(given, source)
    return link


def leads_out(link: RepositoryLink, given: str, base: Path) -> bool:
    """Whether a repository is a folder outside of `base`.

    A `clinder.toml` may be part of an untrusted checkout, and must not name other folders of this machine.

    Args:
        link: the parsed repository.
        given: the repository as given.
        base: the folder of the file that names it.
    """
    if link.provider == LOCAL:
        folder = Path(link.repo)
    elif link.repo.lower().startswith("file:"):
        parts = urlsplit(link.repo)
        from urllib.request import url2pathname  # takes as long to import as all else here

        folder = Path(url2pathname(parts.path))
        if parts.netloc not in ("", "localhost"):
            return True
    else:
        return False
    if given.strip().startswith("~"):
        return True
    return not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(base))


def _check(values: Mapping[str, Value], problems: list[str]) -> Settings | None:
    """Parse every value; return `None` if one of them is invalid."""
    read: dict[str, Any] = {}
    for key in setting_keys():
        if key not in values:
            continue
        try:
            read[key] = setting_type(key).read(values[key].given)
        except ValueError as error:
            problems.append(f"{key}: {error} ({values[key].source})")
    return make_settings(read) if read.keys() == values.keys() else None


def _check_together(settings: Settings, link: RepositoryLink, values: Mapping[str, Value], problems: list[str]) -> None:
    try:
        link.spec(settings.ref)
    except ClinderError as error:
        problems.append(f"ref: {error.message} ({values['ref'].source})")
    if link.provider == LOCAL and not os.path.isdir(link.repo):  # noqa: PTH112  # Path.is_dir raises without permission
        problems.append(f"repo: the folder {show_path(link.repo)} does not exist ({values['repo'].source})")
    if link.provider == LOCAL and any(hub != LOCAL_HUB for hub in settings.hub):
        problems.append(
            f'repo: {show_path(link.repo)} is a folder, which only the embedded hub can build: set hub = "local" '
            f"({values['repo'].source})"
        )
