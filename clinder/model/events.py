"""What a hub says while it builds and launches, and what clinder tells about it.

The wire form is BinderHub's event stream, as measured: the phase may be absent, capitalised or unknown, the
message absent, and a hub is never trusted to keep types. So reading is lenient in what does not matter and
strict in what does (`clinder.model.session` checks URL and token).
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
    """A phase of a launch, in the order in which a hub goes through them; `FAILED` may come at any time."""

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
"""From so many events at once on, a faster JSON decoder pays for its import."""


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """How much of one image layer is pushed, in bytes; the hub's `"Pushed"` reads as all of it."""

    current: int
    total: int


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a hub's stream.

    Attributes:
        phase: `None` where the hub named none, `UNKNOWN` where it named one that is not known.
        message: the hub's words, untrusted: to be cleaned before they reach a screen.
        status_code: on `failed`, the HTTP status that the hub would have given.
        progress: on `pushing`, layer by layer.
        image: the image's name, on `built` and `ready`.
        details: on `ready`, the remaining fields (`url`, `token`, `binder_ref_url`, …) as they came.
    """

    phase: Phase | None
    message: str = ""
    status_code: int | None = None
    progress: Mapping[str, LayerProgress] = field(default_factory=dict)
    image: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, data: bytes | str) -> Event:
        """Read an event from the data of a server-sent event.

        Raises:
            ValueError: the data is no JSON object.
        """
        return cls.from_fields(_read_object(data))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Event:
        """Read an event from the fields of its JSON object."""
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
        """Write the event as a BinderHub does, for the embedded hub's own stream."""
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
    """Read events that came together; lines of a build log that follow one another become one event, of many lines.

    A chatty build sends an event for each line, a hundred thousand a second where the network allows.

    Raises:
        ValueError: one of them is no JSON object.
    """
    read = _quick_reader() if len(batch) >= _MANY else _read_object
    events: list[Event] = []
    named: object = None  # the phase of the lines, as the hub wrote it
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
    from pydantic_core import from_json  # pays only for long logs

    def read(data: bytes) -> dict[str, Any]:
        try:
            fields = from_json(data)
        except ValueError:
            return _read_object(data)
        return fields if fields.__class__ is dict else _read_object(data)

    return read


def _read_object(data: bytes | str) -> dict[str, Any]:
    """Read a JSON object, lenient with bytes that are no UTF-8 and with halves of surrogate pairs."""
    try:
        fields = json.loads(data if isinstance(data, str) else data.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError(f"an object is expected, not {type(fields).__name__}")
    return fields


def _is_of_build(phase: Phase | None) -> bool:
    """Whether events of this phase bear nothing but a message."""
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
    """A launch begins: which hub is asked for which spec, which try of how many."""

    hub: str
    spec: RepositorySpec
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """A launch failed and will be tried again on `hub` after `delay_s` seconds."""

    reason: str
    hub: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Verifying:
    """The hub said `ready`; the server is asked whether it answers, then whether this kernel starts."""

    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """The session answers and its kernel starts, or that it could not be judged was told: the session counts as up."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many launches a hub still allows this address (`X-Ratelimit-*`); `reset_at` in seconds since the epoch."""

    hub: str
    remaining: int
    limit: int
    reset_at: int


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """All that has come from the hub so far was told; now is the time to show it."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a user should know, in one sentence; `warning` where it asks for attention."""

    text: str
    warning: bool = False


Progress = Attempt | Retrying | Verifying | Verified | RateLimit | BatchEnd | Message
Listener: TypeAlias = Callable[["Event | Progress"], None]
"""Who is told: called with every event of the hub and every notice of clinder, in order."""


def discard(_item: Event | Progress) -> None:
    """Be the listener of those who want to hear nothing."""
