"""What `clinder.toml` can say: the models of its values, checked one by one.

They are the reference: the JSON schema, the names of options and variables and the documentation are made from them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from clinder.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT_PREFIX = "CLINDER_"
LOCAL_HUB = "local"
"""What stands for the embedded hub where a hub's URL is expected."""

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|[dhms]))+$|^\d+(\.\d+)?$"},
                {"type": "number", "minimum": 0},
            ]
        }
    ),
]


def _check_timeout(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("a timeout must be longer than nothing")
    return value


Timeout = Annotated[Duration, AfterValidator(_check_timeout)]


def _check_not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"a number is expected, not {str(value).lower()}")
    return value


def _check_hub(value: str) -> str:
    value = value.strip().rstrip("/").removesuffix("/v2")  # how links to it, and some tools, write a hub
    if value == LOCAL_HUB:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        guess = f": did you mean https://{value}?" if value and "://" not in value and "." in value else ""
        raise ValueError(f'{value!r} is not the URL of a hub (https://…), nor "local"{guess}')
    if "@" in parts.netloc:
        raise ValueError("a hub's URL must not hold a user name or password")
    parts.port  # noqa: B018  # raises ValueError where it is no number
    if parts.query or parts.fragment:
        raise ValueError(f"{value!r} holds more than the URL of a hub; a Binder link goes into `repo`")
    return value


def _read_hubs(value: object) -> object:
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        if not value:
            raise ValueError("no hub is named")
        return tuple(_check_hub(part) for part in value)
    raise ValueError("the URL of a hub is expected, or a list of such")


Hubs = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_hubs),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=False)


class Timeouts(_Table):
    """How long to wait, and for what."""

    connect: Timeout = Field(timedelta(seconds=10), description="Each request: TCP, TLS, first byte.")
    silence: Timeout = Field(timedelta(seconds=90), description="Longest gap without a byte in the build stream.")
    build: Timeout = Field(timedelta(minutes=45), description="Until the image is there.")
    launch: Timeout = Field(timedelta(minutes=10), description="From the image being there to ready.")
    stop: Timeout = Field(timedelta(seconds=60), description="Until the session is seen to be gone.")


class Retry(_Table):
    """How often to launch again, and how patiently."""

    attempts: Annotated[int, BeforeValidator(_check_not_bool)] = Field(
        3, ge=1, le=100, description="Launches in all, over every hub."
    )
    backoff: Duration = Field(
        timedelta(seconds=5),
        description="Pause before the next try, doubled each time, with jitter; "
        'a hub\'s own "try again in" wins, up to `wait`.',
    )
    wait: Duration = Field(timedelta(minutes=2), description="Longest pause.")


class SessionSettings(_Table):
    """What to do with the session."""

    path: str = Field("lab", description="What `clinder open` opens, relative to the session's URL.")
    warm: str = Field(
        "auto",
        description="Before a session counts as up, start this kernel once and stop it again: "
        '"auto" (the server\'s default), the name of a kernel, or "off".',
    )


class Settings(_Table):
    """All that `clinder.toml` can say."""

    hub: Hubs = Field(
        ("https://mybinder.org",),
        description='The hub, or a list of hubs, tried in order; "local" is the embedded hub.',
    )
    repo: str = Field(
        "",
        description="The repository: org/name (GitHub), PROVIDER:REPOSITORY, a DOI, a git URL, "
        "a repository's web page, a Binder link, or a folder (embedded hub).",
    )
    ref: str = Field("", description="Branch, tag or commit; HEAD if left out.")
    timeouts: Timeouts = Field(default_factory=Timeouts)
    retry: Retry = Field(default_factory=Retry)
    session: SessionSettings = Field(default_factory=SessionSettings)


def setting_keys() -> Iterator[str]:
    """Name every setting with its dotted key, in the order of the file."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Table):
            yield from (f"{name}.{inner}" for inner in field.annotation.model_fields)
        else:
            yield name


def option_name(key: str) -> str:
    """Name the command-line option of a setting: `timeouts.build` is `--timeouts-build`."""
    return "--" + key.replace(".", "-")


def variable_name(key: str) -> str:
    """Name the environment variable of a setting: `timeouts.build` is `CLINDER_TIMEOUTS_BUILD`."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()
