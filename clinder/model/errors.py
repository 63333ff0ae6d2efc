"""Every way in which clinder fails, each with its exit status.

An error bears what happened (`message`), what to do about it (`hint`) and, where a session exists all the
same, that session. Nothing here prints: `clinder.cli` catches once and `clinder.output` shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clinder.model.session import Session


class ClinderError(Exception):
    """The base of all errors that clinder raises on purpose.

    Attributes:
        kind: a stable word for programs, the `error.kind` of `--json`.
        exit_status: the status that the command ends with.
        retryable: whether launching again, maybe on another hub, can help.
        retry_after_s: how long the hub asks to be left alone, in seconds, where it says.
        orphaned_sessions: how many sessions may be left on hubs, that nobody has the token of.
    """

    kind: str = "internal"
    exit_status: int = 1
    retryable: bool = False
    retry_after_s: float | None = None
    orphaned_sessions: int = 0

    def __init__(self, message: str, *, hint: str = "", session: Session | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.session = session

    def __str__(self) -> str:
        return self.message


class UsageError(ClinderError):
    """The command line asks for something that makes no sense."""

    kind = "usage"
    exit_status = 2


class ConfigError(ClinderError):
    """`clinder.toml`, the environment or the options hold values that will not do.

    Attributes:
        summary: the message without the faults.
        faults: one sentence for each fault found, in the order of the keys.
    """

    kind = "config"
    exit_status = 2

    def __init__(self, message: str, *, faults: Iterable[str] = (), hint: str = "") -> None:
        self.summary = message
        self.faults = tuple(faults)
        super().__init__("\n".join([message, *(f"  - {fault}" for fault in self.faults)]), hint=hint)


class ConfigFileError(ConfigError):
    """A `clinder.toml` cannot be used at all: it is not there, belongs to another user, or cannot be read.

    Attributes:
        file: where it is.
        is_named: whether an option or a variable names it.
    """

    def __init__(self, message: str, *, file: Path, is_named: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.is_named = is_named


class RefusedError(ClinderError):
    """The hub or the session said no: a wrong token, a banned repository, a launch that is not allowed."""

    kind = "refused"
    exit_status = 3


class LockedError(ClinderError):
    """Another clinder holds the lock on the state."""

    kind = "locked"
    exit_status = 4


class BuildError(ClinderError):
    """The image could not be built, or the hub could not make sense of the repository spec."""

    kind = "build-failed"
    exit_status = 5


class LaunchError(ClinderError):
    """The image is there, but no usable server came of it."""

    kind = "launch-failed"
    exit_status = 5


class LaunchRetryError(LaunchError):
    """A launch failed in a way that another try may mend: cut off, or a server error of the hub."""

    retryable = True


class NoSessionError(ClinderError):
    """There is no running session."""

    kind = "no-session"
    exit_status = 6


class LostSessionError(NoSessionError):
    """The session went away while something used it."""

    kind = "session-lost"


class TimedOutError(ClinderError):
    """One of the timeouts of `clinder.toml` ran out."""

    kind = "timed-out"
    exit_status = 7


class HubError(ClinderError):
    """The hub cannot be used as it is: what answers is no BinderHub, or no member of the list is left."""

    kind = "hub"
    exit_status = 8


class UnreachableError(HubError):
    """The hub or the session did not answer, or not in a way that says anything about the session.

    Attributes:
        connection_refused: whether the connection was refused.
        certificate_untrusted: whether its certificate was; time does not mend that.
    """

    kind = "unreachable"
    retryable = True
    connection_refused: bool = False
    certificate_untrusted: bool = False


class RateLimitedError(HubError):
    """The hub starts no more sessions for now."""

    kind = "rate-limited"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class CommandNotFoundError(ClinderError):
    """The command to run is not there; the status is the shell's."""

    kind = "command-not-found"
    exit_status = 127


class CommandNotExecutableError(ClinderError):
    """The command to run is there, but cannot be executed; the status is the shell's."""

    kind = "command-not-executable"
    exit_status = 126


class StateError(ClinderError):
    """The state cannot be read or written."""

    kind = "state"
    exit_status = 9


class InterruptedBySignalError(ClinderError):
    """SIGINT, SIGTERM or SIGHUP asked the command to end.

    Attributes:
        signal_number: which signal; the exit status is 128 more, as shells have it.
    """

    kind = "interrupted"

    def __init__(self, signal_number: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.signal_number = signal_number
        self.exit_status = 128 + signal_number
