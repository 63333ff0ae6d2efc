"""What `clinder.toml` can say: every setting with its default, its meaning and how its value is read.

The tables here are the reference: the JSON schema, the names of options and variables and the documentation are made
from them. They are dataclasses, not models of pydantic, whose import takes longer than all else in `clinder start`.
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
"""What stands for the embedded hub where a hub's URL is expected."""
_MOST_ATTEMPTS = 100
_MOST_HUBS = 100
_LONGEST_HOST = 253
LONGEST_TEXT = 8192
"""Characters of a setting; the longest that are of use are links that hold a list of others."""


@dataclass(frozen=True)
class SettingType:
    """What a setting can be.

    Attributes:
        read: makes the value of what was given, as TOML or as text; raises `ValueError` where it will not do.
        schema: what it looks like in `clinder.toml`, as JSON Schema.
        metavar: what stands for it in the help of its option.
    """

    read: Callable[[object], Any]
    schema: Mapping[str, Any]
    metavar: str = "TEXT"


def _read_text(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"expected a string, not {show_value(given)}")  # an error in what a user wrote
    _check_length(given)
    if not given.isprintable():  # it would reach the screen, and move the cursor there
        raise ValueError(f"{show_value(given)} holds characters that cannot be printed")
    return given


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{show_value(text)} is longer than {LONGEST_TEXT} characters")


def read_path(given: object) -> str:
    """Read what is opened in a session, and see that it cannot lead elsewhere with the session's token.

    Raises:
        ValueError: it is no text, names another host, climbs up, or brings a token of its own.
    """
    text = _read_text(given).strip()
    path, _, query = text.lstrip("/").partition("?")
    if "\\" in text:
        raise ValueError(f"{show_value(text)} holds a backslash, which a browser takes for a slash")
    if text.startswith("//") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):
        raise ValueError(
            f"{show_value(text)} is an address, where a path in the session is expected, such as lab/tree/notebooks"
        )
    if any(unquote(unquote(part)) in (".", "..") for part in re.split(r"/|%2f", path, flags=re.IGNORECASE)):
        raise ValueError(f"{show_value(text)} leads out of the session: . and .. are of no use here")
    if "token" in parse_qs(query, keep_blank_values=True):
        raise ValueError("a path in the session brings no token: clinder adds the session's own")
    return text


def _read_timeout(given: object) -> timedelta:
    timeout = parse_duration(given)
    if not timeout:
        raise ValueError("a timeout must be longer than nothing")
    return timeout


def _read_attempts(given: object) -> int:
    number = given.strip() if isinstance(given, str) else given
    if isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) < 10:  # noqa: PLR2004
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _MOST_ATTEMPTS:
        raise ValueError(f"expected a whole number from 1 to {_MOST_ATTEMPTS}, not {show_value(given)}")
    return number


def _read_hubs(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    if isinstance(given, list | tuple) and all(isinstance(part, str) for part in given):
        if not given:
            raise ValueError("no hub is named")
        if len(given) > _MOST_HUBS:
            raise ValueError(f"{len(given)} hubs are named, and at most {_MOST_HUBS} can be")
        return tuple(_read_hub(part) for part in given)
    raise ValueError("expected the URL of a hub, or a list of URLs")


def _read_hub(text: str) -> str:
    _check_length(text)
    hub = text.strip().rstrip("/").removesuffix("/v2")  # how links to it, and some tools, write a hub
    if hub == LOCAL_HUB:
        return hub
    try:
        parts = urlsplit(hub)
        parts.port  # noqa: B018  # raises ValueError where it is no number
    except ValueError as error:
        raise ValueError(f"{show_value(hub)} is not a URL: {show_text(str(error))}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not hub.isprintable() or " " in hub:
        is_bare = "." in hub and "://" not in hub and len(hub) <= _LONGEST_HOST and hub.isprintable()
        guess = f": did you mean https://{hub}?" if is_bare else ""
        raise ValueError(f'{show_value(hub)} is not the URL of a hub (https://…), nor "local"{guess}')
    if "@" in parts.netloc:
        raise ValueError("a hub's URL must not hold a user name or password")
    if parts.query or parts.fragment:
        raise ValueError(f"{show_value(hub)} holds more than the URL of a hub; a Binder link goes into `repo`")
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


def _setting(kind: SettingType, default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"kind": kind, "meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait, and for what."""

    connect: timedelta = _setting(_TIMEOUT, timedelta(seconds=10), "Limit for each request to answer.")
    silence: timedelta = _setting(_TIMEOUT, timedelta(seconds=90), "Longest gap in the hub's event stream.")
    build: timedelta = _setting(_TIMEOUT, timedelta(minutes=45), "Limit for the image to be built.")
    launch: timedelta = _setting(_TIMEOUT, timedelta(minutes=10), "Limit from the built image to a ready session.")
    stop: timedelta = _setting(_TIMEOUT, timedelta(seconds=60), "Limit for a session to stop.")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often to launch again, and how patiently."""

    attempts: int = _setting(_ATTEMPTS, 3, "Number of launches in total, over all hubs.")
    backoff: timedelta = _setting(
        _DURATION,
        timedelta(seconds=5),
        "Pause before the next attempt, doubled each time; a hub may ask for more, up to retry.wait.",
    )
    wait: timedelta = _setting(_DURATION, timedelta(minutes=2), "Longest pause between attempts.")


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """What to do with the session."""

    path: str = _setting(_PATH, "lab", "What `clinder open` opens, relative to the session's URL.")
    warm: str = _setting(
        _TEXT,
        "auto",
        'Kernel to start once as a check: "auto" (the default kernel), a name, or "off".',
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that `clinder.toml` can say."""

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
"""By name, the tables of the file; all other settings stand before them."""


def _find_settings() -> Iterator[tuple[str, Field[Any]]]:
    for setting in fields(Settings):
        if setting.name in TABLES:
            table: Any = TABLES[setting.name]
            yield from ((f"{setting.name}.{inner.name}", inner) for inner in fields(table))
        else:
            yield setting.name, setting


_FIELDS = dict(_find_settings())


def setting_keys() -> Iterator[str]:
    """Name every setting with its dotted key, in the order of the file."""
    return iter(_FIELDS)


def setting_type(key: str) -> SettingType:
    """Say what a setting can be."""
    kind: SettingType = _FIELDS[key].metadata["kind"]
    return kind


def setting_description(key: str) -> str:
    """Say in words what a setting means."""
    return str(_FIELDS[key].metadata["meaning"])


def setting_default(key: str) -> Any:
    """Say what holds where nobody says anything."""
    return _FIELDS[key].default


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Make settings of values by dotted key, each as its kind has read it; defaults for the others."""
    plain = {key: value for key, value in values.items() if "." not in key}
    tables = {
        name: table(**{key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{name}.")})
        for name, table in TABLES.items()
    }
    return Settings(**plain, **tables)


def option_name(key: str) -> str:
    """Name the command-line option of a setting: `timeouts.build` is `--timeouts-build`."""
    return "--" + key.replace(".", "-")


def variable_name(key: str) -> str:
    """Name the environment variable of a setting: `timeouts.build` is `CLINDER_TIMEOUTS_BUILD`."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()
