"""The events of a launch: those that a hub sends, and clinder's own progress notices.

In BinderHub's event stream, the phase may be absent, capitalised or unknown, the message may be absent, and no value is
certain to have the right type. Parsing is therefore lenient, except for the URL and the token, which
`clinder.model.session` checks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clinder.model.repository import RepositorySpec


class Phase(StrEnum):
    """A phase of a launch, in the order of a hub; `FAILED` may come at any time."""

    WAITING = "waiting"
    FETCHING = "fetching"
    BUILDING = "building"
    PUSHING = "pushing"
    BUILT = "built"
    LAUNCHING = "launching"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"


_PHASES = {phase.value: phase for phase in Phase}
_MANY = 64
"""With this many events at once, a faster JSON decoder is worth its import time."""


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """How much of an image layer has been pushed, in bytes; `"Pushed"` counts as complete."""

    current: int
    total: int


@dataclass(frozen=True, slots=True)
class Event:
    """An event from a hub's event stream.

    Attributes:
        phase: `None` if the hub sent none, `UNKNOWN` if it sent one that is not known.
        message: untrusted text from the hub; clean it before you print it.
        status_code: on `failed`, the corresponding HTTP status, if the hub sent it.
        progress: on `pushing`, the progress by layer.
        image: on `built` and `ready`, the name of the image.
        details: on `ready`, all fields (`url`, `token`, `binder_ref_url`, …), unchecked.
    """

    phase: Phase | None
    message: str = ""
    status_code: int | None = None
    progress: Mapping[str, LayerProgress] = field(default_factory=dict)
    image: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: bytes | str) -> Event:
        """Parse the data of a server-sent event.

        Raises:
            ValueError: the data is not a JSON object.
        """
        return cls.from_fields(_read_object(data))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Event:
        """Make an event from the fields of its JSON object."""
        phase = _phase(fields.get("phase"))
        message = fields.get("message")
        if not isinstance(message, str):
            message = "" if message is None else json.dumps(message)
        if _is_of_build(phase):
            return cls(phase, message)
        return cls(
            phase,
            message,
            status_code=_integer(fields.get("status_code")),
            progress=_progress(fields.get("progress")) if phase is Phase.PUSHING else {},
            image=_text(fields.get("imageName") or fields.get("image")),
            details=fields if phase is Phase.READY else {},
        )

    def to_json(self) -> str:
        """Format the event as BinderHub does, for the event stream of the embedded hub."""
        fields: dict[str, Any] = {**self.details}
        if self.phase is not None:
            fields["phase"] = self.phase.value
        if self.message:
            fields["message"] = self.message
        if self.status_code is not None:
            fields["status_code"] = self.status_code
        if self.progress:
            fields["progress"] = {
                layer: {"current": done.current, "total": done.total} for layer, done in self.progress.items()
            }
        if self.image:
            fields["image" if self.phase is Phase.READY else "imageName"] = self.image
        return json.dumps(fields)


def read_events(batch: Sequence[bytes]) -> list[Event]:
    """Parse a batch of events, and merge consecutive lines of the build log into one event.

    A hub sends one event for each line, and can send a hundred thousand of them in a second.

    Raises:
        ValueError: one of them is not a JSON object.
    """
    read = _quick_reader() if len(batch) >= _MANY else _read_object
    events: list[Event] = []
    named: object = None  # the phase of `lines`, as sent by the hub
    lines: list[str] = []
    for data in batch:
        fields = read(data)
        message: Any = fields.get("message")
        is_line = message.__class__ is str and message[-1:] == "\n"
        if is_line and lines and fields.get("phase") == named:
            lines.append(message)
            continue
        if lines:
            events.append(Event(_phase(named), "".join(lines)))
            lines.clear()
        named = fields.get("phase")
        if is_line and _is_of_build(_phase(named)):
            lines.append(message)
        else:
            events.append(Event.from_fields(fields))
    if lines:
        events.append(Event(_phase(named), "".join(lines)))
    return events


def _quick_reader() -> Callable[[bytes], dict[str, Any]]:
    from pydantic_core import from_json  # slow to import; worth it only for long logs

    def read(data: bytes) -> dict[str, Any]:
        try:
            fields = from_json(data)
        except ValueError:
            return _read_object(data)
        return fields if fields.__class__ is dict else _read_object(data)

    return read


def _read_object(data: bytes | str) -> dict[str, Any]:
    """Parse a JSON object; invalid UTF-8 and lone surrogates are accepted."""
    try:
        fields = json.loads(data if isinstance(data, str) else data.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError(f"expected an object, not {type(fields).__name__}")
    return fields


def _is_of_build(phase: Phase | None) -> bool:
    """Whether events of this phase have no field but the message."""
    return phase is Phase.BUILDING or phase is None or phase is Phase.FETCHING


def _phase(value: object) -> Phase | None:
    if isinstance(value, str):
        return _PHASES.get(value) or _PHASES.get(value.lower(), Phase.UNKNOWN)
    return None if value is None else Phase.UNKNOWN


def _integer(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:  # noqa: PLR2004
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _progress(value: object) -> dict[str, LayerProgress]:
    layers: dict[str, LayerProgress] = {}
    if isinstance(value, dict):
        for layer, done in value.items():
            if isinstance(done, dict):
                current, total = _integer(done.get("current")) or 0, _integer(done.get("total")) or 0
                layers[layer] = LayerProgress(current, max(total, current))
            else:
                layers[layer] = LayerProgress(1, 1)
    return layers


@dataclass(frozen=True, slots=True)
class Attempt:
    """A launch attempt starts: number `number` of at most `total`, on this hub."""

    hub: str
    spec: RepositorySpec
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """A launch failed; the next attempt is on `hub`, after `delay_s` seconds."""

    reason: str
    hub: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Verifying:
    """The hub reported `ready`; clinder checks that the server answers, then that this kernel starts."""

    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """The session answers and its kernel starts, or a warning said that the kernel could not be checked."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A hub's launch rate limit for this IP address (`X-Ratelimit-*`); `reset_at` is in seconds since the epoch."""

    hub: str
    remaining: int
    limit: int
    reset_at: int


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """The end of a batch of events: no other event is waiting, and the screen can be updated."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the user, in one sentence; `warning` if it needs attention."""

    text: str
    warning: bool = False


Progress = Attempt | Retrying | Verifying | Verified | RateLimit | BatchEnd | Message
Listener: TypeAlias = Callable[["Event | Progress"], None]
"""A callback that receives every event of the hub and every progress notice of clinder, in order."""


def discard(_item: Event | Progress) -> None:
    """Ignore the event; a listener that does nothing."""
