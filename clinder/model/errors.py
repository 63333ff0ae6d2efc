"""The errors that clinder raises, each with its exit status.

An error has a `message` (what happened), a `hint` (what to do about it) and, if a session exists despite the error,
that `session`. `clinder.cli` catches errors in one place, and `clinder.output` prints them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clinder.model.session import Session


class ClinderError(Exception):
    """The base class of all errors that clinder raises deliberately.

    Attributes:
        kind: a stable identifier for programs: `error.kind` in the output of `--json`.
        exit_status: the exit status of the command.
        retryable: whether another launch, possibly on another hub, may succeed.
        retry_after_s: the pause that the hub asks for, in seconds, if it gives one.
        orphaned_sessions: how many sessions may still run on hubs although clinder has no token to stop them.
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
    """The command line is invalid."""

    kind = "usage"
    exit_status = 2


class ConfigError(ClinderError):
    """`clinder.toml`, an environment variable or an option has an invalid value.

    Attributes:
        problems: one sentence for each invalid value, in the order of the keys.
    """

    kind = "config"
    exit_status = 2

    def __init__(self, message: str, *, problems: Iterable[str] = (), hint: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]), hint=hint)


class ConfigFileError(ConfigError):
    """A `clinder.toml` cannot be used: it does not exist, belongs to another user or cannot be read.

    Attributes:
        file: its path.
        is_named: whether an option or a variable names it.
    """

    def __init__(self, message: str, *, file: Path, is_named: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.is_named = is_named


class RefusedError(ClinderError):
    """The hub or the session refused: invalid token, banned repository, or launch not allowed."""

    kind = "refused"
    exit_status = 3


class LockedError(ClinderError):
    """Another clinder process holds the lock on the state."""

    kind = "locked"
    exit_status = 4


class BuildError(ClinderError):
    """The image could not be built, or the hub could not resolve the repository spec."""

    kind = "build-failed"
    exit_status = 5


class LaunchError(ClinderError):
    """The image exists, but no usable server was started from it."""

    kind = "launch-failed"
    exit_status = 5


class LaunchRetryError(LaunchError):
    """A launch failed, but another attempt may succeed: the connection was lost, or the hub had a server error."""

    retryable = True


class NoSessionError(ClinderError):
    """There is no running session."""

    kind = "no-session"
    exit_status = 6


class LostSessionError(NoSessionError):
    """The session ended while it was in use."""

    kind = "session-lost"


class TimedOutError(ClinderError):
    """A timeout set in `clinder.toml` expired."""

    kind = "timed-out"
    exit_status = 7


class HubError(ClinderError):
    """The hub cannot be used: it is not a BinderHub, or no hub in the list is available."""

    kind = "hub"
    exit_status = 8


class UnreachableError(HubError):
    """The hub or the session did not answer, or its answer does not show the state of the session.

    Attributes:
        connection_refused: whether the connection was refused.
        certificate_untrusted: whether its certificate is not trusted, so that waiting does not help.
    """

    kind = "unreachable"
    retryable = True
    connection_refused: bool = False
    certificate_untrusted: bool = False


class RateLimitedError(HubError):
    """The launch rate limit of the hub is reached."""

    kind = "rate-limited"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class CommandNotFoundError(ClinderError):
    """The command to run does not exist; the exit status is the one that shells use."""

    kind = "command-not-found"
    exit_status = 127


class CommandNotExecutableError(ClinderError):
    """The command to run exists but cannot be executed; the exit status is the one that shells use."""

    kind = "command-not-executable"
    exit_status = 126


class StateError(ClinderError):
    """The state cannot be read or written."""

    kind = "state"
    exit_status = 9


class InterruptedBySignalError(ClinderError):
    """SIGINT, SIGTERM or SIGHUP interrupted the command.

    Attributes:
        signal_number: the signal; the exit status is 128 plus this number, as in shells.
    """

    kind = "interrupted"

    def __init__(self, signal_number: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.signal_number = signal_number
        self.exit_status = 128 + signal_number
