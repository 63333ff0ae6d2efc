"""What clinder remembers of sessions: `.clinder/state.json`, its schema, its lock and its durable write.

Nothing is decided here. A state that cannot be read is never overwritten, a write either happens whole or not at
all, and the state before it stays beside it as `state.json.bak`.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import os
import shutil
import socket
import stat
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from clinder import __version__
from clinder.errors import LockedError, StateError
from clinder.records import read_record, write_record
from clinder.sessions import Session, check_token, check_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCHEMA_VERSION = 1
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older schema version, the step to the next one."""

_PRIVATE_DIR = 0o700
_PRIVATE_FILE = 0o600
_LOCK_POLL_S = 0.1
_LOOK_S = 0.05
"""How long the lock may be held by one who only looks whether it is (`is_locked`)."""
_NOTE_S = 0.2
"""How long the note of who holds the lock may come after the lock."""
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


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
        since = self.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"clinder {self.operation} (process {self.pid} of {self.user} on {self.host}, since {since})"


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


class StateFolder:
    """The folder `.clinder`: reading and writing the state, and the lock on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "state.json"
        self.backup = path / "state.json.bak"
        self._lock_file = path / "state.lock"
        self._holder_file = path / "state.holder.json"

    def is_there(self) -> bool:
        """Say whether there is anything at all at its place, be it readable or not."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def read(self) -> State:
        """Read the state; a folder without one reads as the empty state. Needs no lock.

        Raises:
            StateError: the state cannot be read, is no state, or was written by a newer clinder.
        """
        try:
            text = _read_regular(self.file)
        except FileNotFoundError:
            if self.path.is_symlink() and not self.path.exists():  # a disk that is away now: what it holds is not lost
                raise StateError(f"{self.path} is a symbolic link that leads nowhere") from None
            return State()
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"{self.file} cannot be read: {_reason(error)}", hint=self._recovery()) from error
        return self._parse(text)

    def _parse(self, text: str) -> State:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StateError(f"{self.file} is damaged: {error}", hint=self._recovery()) from error
        version = document.get("version") if isinstance(document, dict) else None
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise StateError(f"{self.file} is no state of clinder: it has no version", hint=self._recovery())
        own = ("clinder_version",) if version > SCHEMA_VERSION else ("serial", "lineage")
        if missing := [key for key in own if key not in document]:
            raise StateError(f"{self.file} is no state of clinder: it has no {missing[0]}", hint=self._recovery())
        if version > SCHEMA_VERSION:
            raise StateError(
                f"{self.file} was written by clinder {document.get('clinder_version')} (schema {version}); "
                f"this is clinder {__version__} (schema {SCHEMA_VERSION})",
                hint="Use that version of clinder, or a newer one: pip install --upgrade clinder",
            )
        while document["version"] < SCHEMA_VERSION:
            document = _MIGRATIONS[document["version"]](document)
        try:
            state = read_record(State, document)
            _check_sessions(state)
        except ValueError as error:
            raise StateError(f"{self.file} is damaged: {error}", hint=self._recovery()) from None
        return state

    def _recovery(self) -> str:
        """Say where the last good state is, if there is one."""
        try:
            if self.file.is_symlink():  # what is copied over it would go where it leads
                return "Nothing was changed. Put the file itself here, or name the folder it is in with --state-dir."
            document = json.loads(self.backup.read_text(encoding="utf-8"))
            serial = read_record(State, document).serial
        except (OSError, ValueError, RecursionError):
            return (
                f"Nothing was changed. Move {self.file} away to start anew; a session that it named is stopped by "
                "its hub once idle, or by `clinder stop URI`."
            )
        return f"Nothing was changed. The last good state is {self.backup} (serial {serial}): copy it over {self.file}."

    def write(self, state: State) -> State:
        """Write the state durably, with the next serial, and return what was written. Needs the lock.

        The file is written whole beside the old one, flushed to the disk and put in its place; a crash at any moment
        leaves the state as before or as after.

        Raises:
            StateError: it could not be written, or somebody replaced the state on the disk since `state` was read; what
                is on the disk stays as it is.
        """
        written = replace(state, serial=state.serial + 1, clinder_version=__version__)
        temporary = self.path / f"state.json.{os.getpid()}.tmp"
        try:
            self.prepare()
            self._check_unchanged(state)
            _write_durably(temporary, write_record(written, indent=2) + "\n")
            self._keep_backup()
            temporary.replace(self.file)
        except OSError as error:
            self._remove_leftovers()
            raise StateError(
                f"{self.file} cannot be written: {_reason(error)}",
                hint="Make room, or the folder writable; or choose another with --state-dir.",
            ) from error
        with contextlib.suppress(OSError):  # some file systems cannot, and the new state is in its place already
            _sync_folder(self.path)
        return written

    def _check_unchanged(self, state: State) -> None:
        """See that the state on the disk is the one that was read, or was deleted: nobody else's is overwritten."""
        try:
            found = self._parse(_read_regular(self.file))
        except FileNotFoundError:
            return
        except UnicodeDecodeError as error:
            raise StateError(f"{self.file} is damaged: {error}", hint=self._recovery()) from error
        if (found.lineage, found.serial) != (state.lineage, state.serial):
            raise StateError(
                f"{self.file} was replaced while this command ran: its serial is {found.serial}, not {state.serial}",
                hint="It was left as it is. `clinder status` shows what it says.",
            )

    def _remove_leftovers(self) -> None:
        """Remove what a clinder that was killed, or ran out of room, left half written. Needs the lock."""
        with contextlib.suppress(OSError):
            for leftover in self.path.glob("state.json*.tmp"):
                leftover.unlink(missing_ok=True)

    def _keep_backup(self) -> None:
        """Make the present state the backup without its being away for a moment: a second link, else a copy."""
        if not self.file.exists():
            return
        temporary = self.path / f"state.json.bak.{os.getpid()}.tmp"
        temporary.unlink(missing_ok=True)
        try:
            os.link(self.file, temporary)
        except OSError:
            shutil.copy2(self.file, temporary)
        temporary.replace(self.backup)
        temporary.unlink(missing_ok=True)  # still there if both were one file already: renaming then does nothing

    def prepare(self) -> None:
        """Make the folder, for its owner alone, ignored by git.

        Raises:
            OSError: it cannot be made.
            StateError: it is there and holds what is not clinder's: such a folder is not for us to close.
        """
        if not self.path.is_dir():
            self.path.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
        self._check_own()
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(_PRIVATE_DIR)
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            _write_durably(ignore, "*\n")

    def _check_own(self) -> None:
        if self._lock_file.exists() or self.file.exists():
            return
        names = sorted(path.name for path in self.path.iterdir())
        if others := [name for name in names if name not in (".gitignore", "logs") and not name.startswith("state.")]:
            raise StateError(
                f"{self.path} is no state folder: it holds {others[0]}",
                hint=f"Name a folder that is for the state alone, such as {self.path / '.clinder'}.",
            )

    @contextlib.contextmanager
    def locked(
        self,
        operation: str,
        *,
        timeout_s: float,
        on_wait: Callable[[Process | None], None],
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[None]:
        """Hold the lock, which every command that writes holds; beside it stands who does.

        Args:
            operation: what is done under it, for those who wait.
            timeout_s: how long to wait for it, in seconds; negative: for ever.
            on_wait: called once if another holds it, with that one's note if it can be read.
            is_cancelled: asked while waiting; true gives up.

        Raises:
            LockedError: it was not free within the time.
            StateError: the folder cannot be made or written.
        """
        import filelock

        try:
            self.prepare()
            lock = filelock.FileLock(self._lock_file, mode=_PRIVATE_FILE)
            try:
                lock.acquire(timeout=_LOOK_S, poll_interval=_LOOK_S / 5)
            except filelock.Timeout:
                on_wait(self._await_holder())
                lock.acquire(timeout=timeout_s, poll_interval=_LOCK_POLL_S, cancel_check=is_cancelled)
        except filelock.Timeout as error:
            holder = self.holder()
            raise LockedError(
                f"{self.path} is locked by {holder or 'another clinder'}",
                hint="Wait until it has ended, or give --lock-timeout a longer time.",
            ) from error
        except OSError as error:
            raise StateError(
                f"{self.path} cannot be locked: {_reason(error)}",
                hint="Make it writable, or choose another folder with --state-dir. A session on record there goes on "
                "running.",
            ) from error
        try:
            self._remove_leftovers()
            with contextlib.suppress(OSError):
                _write_durably(self._holder_file, write_record(Process.current(operation)) + "\n")
            yield
        finally:
            with contextlib.suppress(OSError):
                self._holder_file.unlink(missing_ok=True)
            lock.release()

    def is_locked(self) -> bool:
        """Say whether another holds the lock right now, by trying to take it for a moment."""
        import filelock

        try:
            if not self._lock_file.exists():
                return False
            with filelock.FileLock(self._lock_file, mode=_PRIVATE_FILE, timeout=0):
                return False
        except filelock.Timeout:
            return True
        except OSError:
            return False

    def _await_holder(self) -> Process | None:
        """Read who holds the lock, allowing the note a moment: it is written when the lock is held already."""
        until = time.monotonic() + _NOTE_S
        while (holder := self.holder()) is None and time.monotonic() < until:
            time.sleep(_NOTE_S / 20)
        return holder

    def holder(self) -> Process | None:
        """Read who holds the lock; `None` where that is not told."""
        try:
            return read_record(Process, json.loads(self._holder_file.read_bytes()))
        except (OSError, ValueError, RecursionError):
            return None


def _check_sessions(state: State) -> None:
    """Check URLs and tokens as those that a hub gives are: they go into requests, shells and terminals.

    Raises:
        ValueError: one of them will not do.
    """
    named = [("session", state.session), *((f"retired[{index}]", its) for index, its in enumerate(state.retired))]
    for where, session in named:
        try:
            if session:
                check_url(session.url)
                check_token(session.token)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


def _read_regular(path: Path) -> str:
    """Read a file, and nothing else: no link, which leads where somebody else says, and no pipe, which never ends."""
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EISDIR, "Is a directory") if stat.S_ISDIR(mode) else OSError("it is no regular file")
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _write_durably(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_FOLLOW, _PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "it is a symbolic link"
    return (isinstance(error, OSError) and error.strerror) or str(error)
