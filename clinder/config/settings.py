"""The settings: for each one, its default, its description and its type.

The JSON schema, the names of options and variables, and the reference pages are generated from the classes here. They
are dataclasses, because importing pydantic takes longer than all else in `clinder start`.
"""

from __future__ import annotations

import re
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from clinder.model.display import show_text, show_value
from clinder.model.duration import parse_duration
from clinder.model.providers import SHORTHAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ENVIRONMENT_PREFIX = "CLINDER_"
LOCAL_HUB = "local"
"""The value of `hub` for the embedded hub."""
_MOST_ATTEMPTS = 100
_MOST_HUBS = 100
_LONGEST_HOST = 253
LONGEST_TEXT = 8192
"""The maximum length of a setting; the longest in practice are links that contain a list of other links."""


@dataclass(frozen=True)
class SettingType:
    """The type of a setting.

    Attributes:
        read: a function that parses a TOML value or a string; it raises `ValueError` if the value is invalid.
        schema: the JSON schema of its form in `clinder.toml`.
        metavar: the placeholder in the help of its option.
    """

    read: Callable[[object], Any]
    schema: Mapping[str, Any]
    metavar: str = "TEXT"


def _read_text(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"expected a string, not {show_value(given)}")
    _check_length(given)
    if not given.isprintable():  # it would be printed, and could move the cursor
        raise ValueError(f"{show_value(given)} contains unprintable characters")
    return given


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{show_value(text)} is longer than {LONGEST_TEXT} characters")


def read_path(given: object) -> str:
    """Parse the path to open in a session; it must not send the token of the session anywhere else.

    Raises:
        ValueError: it is not a string, names another host, leads out of the session or contains a token.
    """
    text = _read_text(given).strip()
    path, _, query = text.lstrip("/").partition("?")
    if "\\" in text:
        raise ValueError(f"{show_value(text)} contains a backslash, which browsers treat as a slash")
    if text.startswith("//") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        raise ValueError(f"{show_value(text)} is a URL: expected a path in the session, such as lab/tree/notebooks")
    if any(unquote(unquote(part)) in (".", "..") for part in re.split(r"/|%2f", path, flags=re.IGNORECASE)):
        raise ValueError(f"{show_value(text)} leads out of the session: . and .. are not allowed")
    if "token" in parse_qs(query, keep_blank_values=True):
        raise ValueError("a path in the session must not contain a token: clinder adds the token of the session")
    return text


def _read_timeout(given: object) -> timedelta:
    timeout = parse_duration(given)
    if not timeout:
        raise ValueError("a timeout must be greater than zero")
    return timeout


def _read_attempts(given: object) -> int:
    number = given.strip() if isinstance(given, str) else given
    if isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) < 10:  # noqa: PLR2004
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _MOST_ATTEMPTS:
        raise ValueError(f"expected an integer from 1 to {_MOST_ATTEMPTS}, not {show_value(given)}")
    return number


def _read_hubs(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    if isinstance(given, list | tuple) and all(isinstance(part, str) for part in given):
        if not given:
            raise ValueError("expected at least one hub")
        if len(given) > _MOST_HUBS:
            raise ValueError(f"expected at most {_MOST_HUBS} hubs, not {len(given)}")
        return tuple(_read_hub(part) for part in given)
    raise ValueError("expected the URL of a hub, or a list of URLs")


def _read_hub(text: str) -> str:
    _check_length(text)
    hub = text.strip().rstrip("/").removesuffix("/v2")  # as in Binder links and some tools
    if hub == LOCAL_HUB:
        return hub
    try:
        parts = urlsplit(hub)
        parts.port  # noqa: B018  # raises ValueError if it is not a number
    except ValueError as error:
        raise ValueError(f"{show_value(hub)} is not a URL: {show_text(str(error))}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not hub.isprintable() or " " in hub:
        is_bare = "." in hub and "://" not in hub and len(hub) <= _LONGEST_HOST and hub.isprintable()
        guess = f": did you mean https://{hub}?" if is_bare else ""
        raise ValueError(f'{show_value(hub)} is neither the URL of a hub (https://…) nor "local"{guess}')
    if "@" in parts.netloc:
        raise ValueError("the URL of a hub must not contain a user name or password")
    if parts.query or parts.fragment:
        raise ValueError(f"{show_value(hub)} is more than the URL of a hub: set `repo` to use a Binder link")
    return hub


_DURATION_SCHEMA = {
    "anyOf": [
        {"pattern": r"^(\d+(\.\d+)?(ms|[dhms]))+$|^\d+(\.\d+)?$", "type": "string"},
        {"minimum": 0, "type": "number"},
    ]
}
_TEXT = SettingType(_read_text, {"type": "string"})
_PATH = SettingType(read_path, {"type": "string"})
_DURATION = SettingType(parse_duration, _DURATION_SCHEMA, "TIME")
_TIMEOUT = SettingType(_read_timeout, _DURATION_SCHEMA, "TIME")
_ATTEMPTS = SettingType(_read_attempts, {"maximum": _MOST_ATTEMPTS, "minimum": 1, "type": "integer"}, "NUMBER")
_HUB_LIST = {"items": {"type": "string"}, "maxItems": _MOST_HUBS, "minItems": 1, "type": "array"}
_HUBS = SettingType(_read_hubs, {"anyOf": [{"type": "string"}, _HUB_LIST]})


def _setting(type_: SettingType, default: Any, description: str) -> Any:
    return field(default=default, metadata={"type": type_, "description": description})


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Time limits."""

    connect: timedelta = _setting(_TIMEOUT, timedelta(seconds=10), "Limit for the response to each request.")
    silence: timedelta = _setting(_TIMEOUT, timedelta(seconds=90), "Longest gap in the hub's event stream.")
    build: timedelta = _setting(_TIMEOUT, timedelta(minutes=45), "Limit for building the image.")
    launch: timedelta = _setting(_TIMEOUT, timedelta(minutes=10), "Limit from the built image to a ready session.")
    stop: timedelta = _setting(_TIMEOUT, timedelta(seconds=60), "Limit for stopping a session.")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Retries of a failed launch."""

    attempts: int = _setting(_ATTEMPTS, 3, "Number of launches in total, over all hubs.")
    backoff: timedelta = _setting(
        _DURATION,
        timedelta(seconds=5),
        "Pause before the next attempt, doubled each time; a hub may ask for more, up to retry.wait.",
    )
    wait: timedelta = _setting(_DURATION, timedelta(minutes=2), "Longest pause between attempts.")


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """Use of the session."""

    path: str = _setting(_PATH, "lab", "Path for `clinder open`, relative to the session's URL.")
    warm: str = _setting(
        _TEXT,
        "auto",
        'Kernel to start once as a check: "auto" (the default kernel), a name, or "off".',
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, in the order of `clinder.toml`."""

    hub: tuple[str, ...] = _setting(
        _HUBS,
        ("https://mybinder.org",),
        'The hub, or a list of hubs that are tried in order; "local" is the embedded hub.',
    )
    repo: str = _setting(
        _TEXT,
        "",
        f"The repository: {SHORTHAND.example} ({SHORTHAND.name}), PROVIDER:REPOSITORY, a DOI, a git URL, "
        "a repository's web page, a Binder link, or a folder (embedded hub).",
    )
    ref: str = _setting(_TEXT, "", "Branch, tag or commit; the default branch if omitted.")
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: Retry = field(default_factory=Retry)
    session: SessionSettings = field(default_factory=SessionSettings)


TABLES: Mapping[str, Callable[..., Any]] = {"timeouts": Timeouts, "retry": Retry, "session": SessionSettings}
"""The tables of the file, by name; all other settings come before them."""


def _find_settings() -> Iterator[tuple[str, Field[Any]]]:
    for setting in fields(Settings):
        if setting.name in TABLES:
            table: Any = TABLES[setting.name]
            yield from ((f"{setting.name}.{inner.name}", inner) for inner in fields(table))
        else:
            yield setting.name, setting


_FIELDS = dict(_find_settings())


def setting_keys() -> Iterator[str]:
    """Get the dotted keys of all settings, in the order of the file."""
    return iter(_FIELDS)


def setting_type(key: str) -> SettingType:
    """Get the type of a setting."""
    type_: SettingType = _FIELDS[key].metadata["type"]
    return type_


def setting_description(key: str) -> str:
    """Get the description of a setting."""
    return str(_FIELDS[key].metadata["description"])


def setting_default(key: str) -> Any:
    """Get the default of a setting."""
    return _FIELDS[key].default


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Make settings from parsed values by dotted key; the others have their defaults."""
    plain = {key: value for key, value in values.items() if "." not in key}
    tables = {
        name: table(**{key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{name}.")})
        for name, table in TABLES.items()
    }
    return Settings(**plain, **tables)


def option_name(key: str) -> str:
    """Get the command-line option of a setting: `--timeouts-build` for `timeouts.build`."""
    return "--" + key.replace(".", "-")


def variable_name(key: str) -> str:
    """Get the environment variable of a setting: `CLINDER_TIMEOUTS_BUILD` for `timeouts.build`."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()
