"""The records in `state.json`: their schema, and how they are read from JSON and checked."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from clinder import __version__
from clinder.model.records import read_record
from clinder.model.session import Session, check_token, check_url

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA_VERSION = 1
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older schema version, the step to the next one."""

_LONGEST_NAME = 64


@dataclass(frozen=True, kw_only=True)
class Process:
    """Who does something: an operation (`up`, `down`, …) in a process, since when."""

    operation: str
    user: str
    host: str
    pid: int
    since: datetime

    @classmethod
    def current(cls, operation: str) -> Process:
        """Describe this process, doing `operation` from now on."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
        return cls(operation=operation, user=user, host=socket.gethostname(), pid=os.getpid(), since=datetime.now(UTC))

    def __str__(self) -> str:
        operation, user, host = (name[:_LONGEST_NAME] for name in (self.operation, self.user, self.host))
        since = self.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"clinder {operation} (process {self.pid} of {user} on {host}, since {since})"


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A launch under way. What stands here after its process has ended never reached `ready`."""

    hub: str
    provider: str
    repo: str
    ref: str
    process: Process


@dataclass(frozen=True, kw_only=True)
class State:
    """All that clinder remembers.

    Attributes:
        version: of this schema.
        serial: one up at each write.
        lineage: a UUID, given when the state was first written, and for ever.
        clinder_version: of the clinder that wrote it.
        session: what runs, as far as is known.
        retired: sessions no longer wanted and not yet seen gone.
        pending: the launch under way.
    """

    version: Literal[1] = 1
    serial: int = 0
    lineage: str = field(default_factory=lambda: str(uuid.uuid4()))
    clinder_version: str = __version__
    session: Session | None = None
    retired: tuple[Session, ...] = ()
    pending: Pending | None = None

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every recorded session; the current one comes last."""
        return (*self.retired, self.session) if self.session else self.retired


class InvalidStateError(ValueError):
    """What was read is not a state; the message continues a sentence that begins with the name of the file.

    Attributes:
        hint: what to do about it; empty where the last good state is what helps.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def parse_state(data: bytes) -> State:
    """Read a state from the content of its file.

    Raises:
        InvalidStateError: it is damaged, is no state, or was written by a newer clinder.
    """
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidStateError(f"is damaged: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidStateError("is no state of clinder: it has no version")
    own = ("clinder_version",) if version > SCHEMA_VERSION else ("serial", "lineage")
    if missing := [key for key in own if key not in document]:
        raise InvalidStateError(f"is no state of clinder: it has no {missing[0]}")
    if version > SCHEMA_VERSION:
        raise InvalidStateError(
            f"was written by clinder {str(document['clinder_version'])[:_LONGEST_NAME]} "
            f"(schema {str(version)[:_LONGEST_NAME]}); this is clinder {__version__} (schema {SCHEMA_VERSION})",
            hint="Use that version of clinder, or a newer one: pip install --upgrade clinder",
        )
    while document["version"] < SCHEMA_VERSION:
        document = _MIGRATIONS[document["version"]](document)
    try:
        state = read_record(State, document)
        _check_sessions(state)
    except ValueError as error:
        raise InvalidStateError(f"is damaged: {error}") from None
    return state


def _check_sessions(state: State) -> None:
    """Check URLs and tokens as those that a hub gives are: they go into requests, shells and terminals.

    Raises:
        ValueError: one of them will not do.
    """
    named = [("session", state.session), *((f"retired[{index}]", item) for index, item in enumerate(state.retired))]
    for where, session in named:
        try:
            if session:
                check_url(session.url)
                check_token(session.token)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
