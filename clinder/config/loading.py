"""`clinder.toml`, read together with the options and the environment; every value knows where it came from.

A value is taken from the command line, else the environment, else the file, else the default.
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
"""Keys that are named, with the nearest known one: to find that takes longer than to read the file."""
_LONGEST_KEY = 100


@dataclass(frozen=True)
class Value:
    """A value as it was given, with the place where it was."""

    given: object
    source: str


@dataclass(frozen=True)
class Config:
    """What is declared, wherever it was declared.

    Attributes:
        settings: every value, checked.
        sources: by dotted key, where a value came from: `clinder.toml`, `--ref`, `CLINDER_REF`, `default`.
        link: what the text of `repo` says; `None` where no repository is declared.
        file: the `clinder.toml` that was read, if any.
        known_state_dir: the `.clinder` that goes with it; `None` where the current folder, in which it is, was deleted.
        warnings: what looks wrong but stops nothing.
        state_dir_is_named: whether the state folder is one that an option or a variable names.
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
        """The `.clinder` that goes with the file.

        Raises:
            UsageError: it is in the current folder, and that was deleted.
        """
        return self.known_state_dir or current_folder() / STATE_DIR_NAME

    @property
    def hubs(self) -> tuple[str, ...]:
        """The hubs to try, in order."""
        return self.settings.hub

    @property
    def timeouts(self) -> Timeouts:
        """How long to wait, and for what."""
        return self.settings.timeouts

    def spec(self) -> RepositorySpec:
        """Say which repository spec is declared.

        Raises:
            ConfigError: no repository is declared.
        """
        if self.link is None:
            where = f"{self.file.name} names none" if self.file else f"there is no {FILE_NAME}"
            raise ConfigError(
                f"no repository is declared: {where}, and neither --repo nor CLINDER_REPO is given",
                hint="`clinder init` writes a clinder.toml; or give --repo org/name.",
            )
        return self.link.spec(self.settings.ref)

    def describe(self, key: str) -> str:
        """Write a setting with its provenance: `timeouts.build = 45m (clinder.toml)`."""
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
) -> Config:
    """Bring options, environment and file together.

    Args:
        options: by dotted key, what the command line says; `None` values count as not given.
        file: the `clinder.toml` to read; none is looked for here (`find_file` does).
        state_dir: the state folder, where the command line names one.
        environment: `os.environ` if left out.

    Raises:
        ConfigError: with every fault that was found, each saying where it stands.
    """
    environment = os.environ if environment is None else environment
    faults: list[str] = []
    warnings: list[str] = []
    layers = [
        _from_options(options or {}, faults),
        _from_environment(environment, warnings),
        _from_file(file, faults) if file else {},
    ]
    values: dict[str, Value] = {}
    link: RepositoryLink | None = None
    for layer in layers:
        layer_link = _expand_link(layer, file, faults)
        if link is None:
            link = layer_link
        for key, value in layer.items():
            values.setdefault(key, value)
    settings = _check(values, faults)
    if settings and link:
        _check_together(settings, link, values, faults)
    if faults or settings is None:
        where = show_path(file) if file else "the settings"
        raise ConfigError(f"{where}: {_count(faults)}", faults=faults, hint="`clinder.toml.example` shows every key.")
    sources = {key: values[key].source if key in values else "default" for key in setting_keys()}
    warnings += [f"{danger} ({sources['hub']})" for hub in settings.hub if (danger := exposure(hub))]
    known_state_dir: Path | None = None
    with contextlib.suppress(UsageError):  # what needs no state does without the current folder, too
        known_state_dir = find_state_dir(file, state_dir, environment)
    is_named = is_state_dir_named(state_dir, environment)
    return Config(settings, sources, link, file, known_state_dir, tuple(warnings), is_named)


def load_config_despite_file(
    find: Callable[[], Path | None], *, options: Mapping[str, object] | None = None, state_dir: Path | None = None
) -> Config:
    """Bring options, environment and file together; a file that cannot be used is ignored, with a warning.

    For what needs no more than the recorded session: it is stopped whatever the file says, and whoever it belongs to.

    Args:
        find: finds the file.
        options: see `load_config`.
        state_dir: see `load_config`.

    Raises:
        ConfigError: options or environment are invalid; or the file cannot be used, and there is no state folder.
        UsageError: the current folder was deleted, and the state would be there.
    """
    try:
        return load_config(options=options, file=find(), state_dir=state_dir)
    except (ConfigError, UsageError) as error:
        folder = find_state_dir_despite_file(find, state_dir)
        config = load_config(options=options, state_dir=state_dir)
        warnings = (*config.warnings, f"{error.message}\nThe file is ignored.")
        return replace(config, known_state_dir=folder, warnings=warnings)


def _count(faults: list[str]) -> str:
    return "1 error" if len(faults) == 1 else f"{len(faults)} errors"


def _from_options(options: Mapping[str, object], faults: list[str]) -> dict[str, Value]:
    known = list(setting_keys())
    faults.extend(f"{key} is not a known key{_nearest(key, known)}" for key in options if key not in known)
    given = {key: value for key, value in options.items() if key in known and value is not None}
    return {key: Value(value, option_name(key)) for key, value in given.items()}


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
            warnings.append(f"{name} is no setting of clinder: did you mean {near[0]}?")
    return layer


def _from_file(file: Path, faults: list[str]) -> dict[str, Value]:
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
            faults.append(f"{name} must be a table, [{name}], not {show_value(given)} ({file.name})")
            continue
        else:
            found = {name: given}
        for key, value in found.items():
            if key in known:
                layer[key] = Value(value, file.name)
            else:
                unknown.append(key)
    named = unknown[:_MOST_UNKNOWN]
    faults.extend(f"{show_text(key)} is not a known key{_nearest(key, known)} ({file.name})" for key in named)
    if len(unknown) > len(named):
        faults.append(f"{len(unknown) - len(named)} more keys are not known ({file.name})")
    return layer


def _nearest(key: str, known: list[str]) -> str:
    """Name the key that was meant, maybe: one that looks much alike, or begins alike, or looks somewhat alike."""
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


def _expand_link(layer: dict[str, Value], file: Path | None, faults: list[str]) -> RepositoryLink | None:
    """Take hub, ref and path out of the layer's `repo`, where the layer itself does not say otherwise."""
    repo = layer.get("repo")
    if repo is None or not isinstance(repo.given, str):
        return None
    base = file.parent if file and repo.source == file.name else None
    try:
        link = read_repository(repo.given, base=base)
    except ClinderError as error:
        hint = f". {error.hint}" if error.hint else ""
        faults.append(f"repo: {error.message} ({repo.source}){hint}")
        return None
    if base and leads_out(link, repo.given, base):
        faults.append(
            f"repo: {show_text(repo.given)} leads out of the folder of {repo.source}, "
            "and a file can name no other folder: give --repo or CLINDER_REPO"
        )
        return None
    source = f"the link in repo, {repo.source}"
    for key, given in (("hub", link.hub), ("ref", link.ref), ("session.path", link.path)):
        if given and key not in layer:
            layer[key] = Value(given, source)
    return link


def leads_out(link: RepositoryLink, given: str, base: Path) -> bool:
    """Whether a repository is a folder of this machine outside of a file's own.

    The file may have come with a checkout from anywhere.

    Args:
        link: the repository, as it was read.
        given: its text.
        base: the folder of the file that names it.
    """
    if link.provider == LOCAL:
        folder = Path(link.repo)
    elif link.repo.lower().startswith("file:"):
        parts = urlsplit(link.repo)
        from urllib.request import url2pathname  # costs as much as the rest of this module

        folder = Path(url2pathname(parts.path))
        if parts.netloc not in ("", "localhost"):
            return True
    else:
        return False
    if given.strip().startswith("~"):
        return True
    return not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(base))


def _check(values: Mapping[str, Value], faults: list[str]) -> Settings | None:
    """Read every value as its setting wants it; `None` where one of them will not do."""
    read: dict[str, Any] = {}
    for key in setting_keys():
        if key not in values:
            continue
        try:
            read[key] = setting_type(key).read(values[key].given)
        except ValueError as error:
            faults.append(f"{key}: {error} ({values[key].source})")
    return make_settings(read) if read.keys() == values.keys() else None


def _check_together(settings: Settings, link: RepositoryLink, values: Mapping[str, Value], faults: list[str]) -> None:
    try:
        link.spec(settings.ref)
    except ClinderError as error:
        faults.append(f"ref: {error.message} ({values['ref'].source})")
    if link.provider == LOCAL and not os.path.isdir(link.repo):  # noqa: PTH112  # Path's raises where it may not look
        faults.append(f"repo: there is no folder {show_path(link.repo)} ({values['repo'].source})")
    if link.provider == LOCAL and any(hub != LOCAL_HUB for hub in settings.hub):
        faults.append(
            f'repo: {show_path(link.repo)} is a folder, which only the embedded hub can build: set hub = "local" '
            f"({values['repo'].source})"
        )
