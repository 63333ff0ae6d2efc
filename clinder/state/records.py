"""The records in `state.json`, and their validation."""

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
"""The migrations to the next schema version, by schema version."""

_LONGEST_NAME = 64


@dataclass(frozen=True, kw_only=True)
class Process:
    """A clinder process and its operation (`up`, `down`, …)."""

    operation: str
    user: str
    host: str
    pid: int
    since: datetime

    @classmethod
    def current(cls, operation: str) -> Process:
        """Make the record of this process, with an operation that starts now."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user without a name, as in some containers
            user = f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
        return cls(operation=operation, user=user, host=socket.gethostname(), pid=os.getpid(), since=datetime.now(UTC))

    def __str__(self) -> str:
        operation, user, host = (name[:_LONGEST_NAME] for name in (self.operation, self.user, self.host))
        since = self.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"clinder {operation} (process {self.pid} of {user} on {host}, since {since})"


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A launch in progress. If its process has ended, the launch never reached `ready`."""

    hub: str
    provider: str
    repo: str
    ref: str
    process: Process


@dataclass(frozen=True, kw_only=True)
class State:
    """The recorded state.

    Attributes:
        version: the schema version.
        serial: a number that each write increments.
        lineage: a UUID that is assigned with the first write and never changes.
        clinder_version: the version of clinder that wrote the state.
        session: the current session.
        retired: replaced sessions that are not confirmed stopped.
        pending: the launch in progress.
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
    """The content of a file is not a valid state. The message follows the name of the file.

    Attributes:
        hint: what to do about it; empty if the last valid state is the remedy.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def parse_state(data: bytes) -> State:
    """Parse the content of a state file.

    Raises:
        InvalidStateError: it is damaged, is not a state, or was written by a newer version of clinder.
    """
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidStateError(f"is damaged: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidStateError("is not a clinder state: it has no version")
    own = ("clinder_version",) if version > SCHEMA_VERSION else ("serial", "lineage")
    if missing := [key for key in own if key not in document]:
        raise InvalidStateError(f"is not a clinder state: it has no {missing[0]}")
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
    """Validate URLs and tokens like those from a hub: they are used in requests, shells and terminals.

    Raises:
        ValueError: one of them is invalid.
    """
    named = [("session", state.session), *((f"retired[{index}]", item) for index, item in enumerate(state.retired))]
    for where, session in named:
        try:
            if session:
                check_url(session.url)
                check_token(session.token)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
