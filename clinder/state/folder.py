"""The state folder `.clinder`: reading and writing the state.

An unreadable state is never overwritten. Writes are atomic, and the previous state is kept as `state.json.bak`.
"""

from __future__ import annotations

import contextlib
import errno
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from clinder import __version__
from clinder.model.errors import StateError
from clinder.model.records import write_record
from clinder.model.wording import os_hint, os_reason
from clinder.state.lock import LOCK_FILE, StateLock
from clinder.state.records import InvalidStateError, State, parse_state
from clinder.system.folders import PrivateFolder, UntrustedFolderError, partial_name, trust_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clinder.config.loading import Config
    from clinder.state.records import Process
    from clinder.system.folders import OpenFolder

STATE_FILE = "state.json"
BACKUP_FILE = "state.json.bak"
_IGNORE_FILE = ".gitignore"
_LOGS = "logs"
_STATE_BYTES = 4 * 1024 * 1024
_LEFTOVER = re.compile(r"(state\.json|state\.json\.bak|state\.holder\.json|\.gitignore)\.[0-9]+\.tmp")
"""The names of temporary files of `OpenFolder.write_partial`."""
_OWN = re.compile(r"state\.|(logs|\.gitignore|\.gitignore\.[0-9]+\.tmp)$")


class StateFolder:
    """The state folder: reading and writing the state, and the lock on it.

    Args:
        path: its path.
        is_named: whether an option or a variable names it; otherwise it is refused if it is a symbolic link or belongs
            to another user.

    Attributes:
        path: its path.
        file: the path of the state.
        backup: the path of the state before the last write.
        logs: the folder for launch logs.
    """

    def __init__(self, path: Path, *, is_named: bool = False) -> None:
        self.path = path
        self.file = path / STATE_FILE
        self.backup = path / BACKUP_FILE
        self._folder = PrivateFolder(path, is_named=is_named)
        self._lock = StateLock(self._folder, self._prepare)
        self.logs = self._folder.within(_LOGS)

    @classmethod
    def of(cls, config: Config) -> StateFolder:
        """Get the state folder of a configuration."""
        return cls(config.state_dir, is_named=config.state_dir_is_named)

    def is_there(self) -> bool:
        """Whether anything exists at its path, readable or not."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def read(self) -> State:
        """Read the state; it is empty if there is no file. The lock is not required.

        Raises:
            StateError: the state cannot be read, is invalid, was written by a newer version of clinder, or may belong
                to another user.
        """
        try:
            with self._folder.open() as folder:
                return self._read(folder)
        except FileNotFoundError:
            return State()
        except OSError as error:
            place = self._place(error)
            hint = trust_hint(error) or _hint_if_intact(error)
            hint = hint or (self._recovery() if place == self.file else f"Move {place} away.")
            raise StateError(f"{place} cannot be read: {os_reason(error)}", hint=hint) from error

    def _place(self, error: OSError) -> Path:
        """Get the path that an error is about: the folder or the state."""
        return self.path if isinstance(error, UntrustedFolderError | NotADirectoryError) else self.file

    def _read(self, folder: OpenFolder) -> State:
        data = folder.read(STATE_FILE, max_bytes=_STATE_BYTES)
        try:
            return parse_state(data)
        except InvalidStateError as error:
            raise StateError(f"{self.file} {error}", hint=error.hint or self._recovery()) from error.__cause__

    def _recovery(self) -> str:
        """Get a hint on how to recover from an invalid state, with the last valid state if there is one."""
        try:
            if self.file.is_symlink():  # copying over it would write to its target
                return "Nothing was changed. Replace the link by the file, or name the folder of the file: --state-dir."
            with self._folder.open() as folder:
                serial = parse_state(folder.read(BACKUP_FILE, max_bytes=_STATE_BYTES)).serial
        except (OSError, InvalidStateError):
            return (
                f"Nothing was changed. Move {self.file} away to start with an empty state. The hub stops a session "
                "that was recorded there once it is idle; `clinder stop URI` stops it at once."
            )
        return f"Nothing was changed. Copy the last valid state, {self.backup} (serial {serial}), over {self.file}."

    def write(self, state: State) -> State:
        """Write the state durably with the next serial number, and return it. The lock is required.

        The write is atomic: after a crash, the file has either the old or the new state.

        Raises:
            StateError: it cannot be written, or the file was replaced since `state` was read; the file is unchanged.
        """
        written = replace(state, serial=state.serial + 1, clinder_version=__version__)
        try:
            with self._prepare() as folder:
                self._check_unchanged(folder, state)
                if not folder.has(_IGNORE_FILE):
                    folder.write(_IGNORE_FILE, "*\n")
                self._replace(folder, write_record(written, indent=2).encode() + b"\n")
        except OSError as error:
            raise StateError(
                f"{self._place(error)} cannot be written: {os_reason(error)}",
                hint=trust_hint(error)
                or os_hint(error)
                or "Free disk space, make the folder writable, or choose another with --state-dir.",
            ) from error
        return written

    def _check_unchanged(self, folder: OpenFolder, state: State) -> None:
        """Check that the state was not replaced since it was read; a deleted file is accepted."""
        try:
            found = self._read(folder)
        except FileNotFoundError:
            return
        if (found.lineage, found.serial) != (state.lineage, state.serial):
            raise StateError(
                f"{self.file} was replaced while this command ran: its serial is {found.serial}, not {state.serial}",
                hint="It was not changed. Run `clinder status` to see the session in it.",
            )

    def _replace(self, folder: OpenFolder, data: bytes) -> None:
        if len(data) > _STATE_BYTES:  # the maximum size that is read
            raise OSError(errno.EFBIG, f"it would be larger than {_STATE_BYTES} bytes")
        try:
            partial = folder.write_partial(STATE_FILE, data, durably=True)
            _keep_backup(folder)
            folder.replace(partial, STATE_FILE)
        except OSError:
            _remove_leftovers(folder)
            raise
        with contextlib.suppress(OSError):  # some file systems do not support it; the state has been replaced
            folder.sync()

    def prepare(self) -> None:
        """Create the folder, accessible to its owner only.

        Raises:
            OSError: it cannot be created.
            StateError: it exists and contains other files, so its permissions must not be changed.
        """
        self._prepare().close()

    def _prepare(self) -> OpenFolder:
        folder = self._folder.make()
        try:
            self._check_own(folder)
            folder.make_private()
        except BaseException:
            folder.close()
            raise
        return folder

    def _check_own(self, folder: OpenFolder) -> None:
        if folder.has(LOCK_FILE) or folder.has(STATE_FILE):
            return
        if others := sorted(name for name in folder.names() if not _OWN.match(name)):
            raise StateError(
                f"{self.path} is not a state folder: it contains {others[0]}",
                hint=f"Use a folder that is only for the state, such as {self.path / '.clinder'}.",
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
        """Hold the lock, which every command that writes must hold, and record this process as its holder.

        Args:
            operation: the name of the operation, shown to other processes that wait.
            timeout_s: how long to wait for the lock, in seconds; a negative value means no limit.
            on_wait: called once if another process holds the lock, with that process if it is known.
            is_cancelled: called repeatedly while waiting; if it returns true, waiting ends.

        Raises:
            LockedError: the lock was not released in time.
            StateError: the folder cannot be created or written.
        """
        with self._lock.held(operation, timeout_s=timeout_s, on_wait=on_wait, is_cancelled=is_cancelled) as folder:
            _remove_leftovers(folder)
            yield

    def is_locked(self) -> bool:
        """Whether another process holds the lock."""
        return self._lock.is_held()

    def holder(self) -> Process | None:
        """Get the process that holds the lock; `None` if it is unknown."""
        return self._lock.holder()


def _keep_backup(folder: OpenFolder) -> None:
    """Make the current state the backup with a hard link, else a copy, so that the state exists at every moment."""
    if not folder.has(STATE_FILE):
        return
    partial = partial_name(BACKUP_FILE)
    folder.remove(partial)
    try:
        folder.link(STATE_FILE, partial)
    except OSError:
        partial = folder.write_partial(BACKUP_FILE, folder.read(STATE_FILE, max_bytes=_STATE_BYTES))
    folder.replace(partial, BACKUP_FILE)
    folder.remove(partial)  # renaming does nothing if both are the same file


def _remove_leftovers(folder: OpenFolder) -> None:
    """Remove temporary files of processes that were killed or had no disk space. The lock is required."""
    with contextlib.suppress(OSError):
        for name in filter(_LEFTOVER.fullmatch, folder.names()):
            with contextlib.suppress(OSError):
                folder.remove(name)


def _hint_if_intact(error: OSError) -> str:
    """Get advice for an error that says nothing about the file itself, so that nobody moves an intact one away."""
    advice = os_hint(error) or ("Make it readable." if error.errno in (errno.EACCES, errno.EPERM) else "")
    return advice and f"Nothing was changed, and the file may be intact. {advice}"
