"""The folder `.clinder`: reading and writing the state in it.

Nothing is decided here. A state that cannot be read is never overwritten, a write either happens whole or not at
all, and the state before it stays beside it as `state.json.bak`.
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
"""What `OpenFolder.write_partial` names a file while it is written."""
_OWN = re.compile(r"state\.|(logs|\.gitignore|\.gitignore\.[0-9]+\.tmp)$")


class StateFolder:
    """The state folder: reading and writing the state, and the lock on it.

    Args:
        path: where it is.
        is_named: whether an option or a variable names it. One that was found may be somebody else's: it is refused if
            it is a symbolic link or belongs to another user.

    Attributes:
        path: where it is.
        file: the state.
        backup: the state before the last write.
        logs: the folder for the logs of launches.
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
            StateError: the state cannot be read, is no state, was written by a newer clinder, or may be another user's.
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
        """Say what an error is about: the folder, or the state in it."""
        return self.path if isinstance(error, UntrustedFolderError | NotADirectoryError) else self.file

    def _read(self, folder: OpenFolder) -> State:
        data = folder.read(STATE_FILE, max_bytes=_STATE_BYTES)
        try:
            return parse_state(data)
        except InvalidStateError as error:
            raise StateError(f"{self.file} {error}", hint=error.hint or self._recovery()) from error.__cause__

    def _recovery(self) -> str:
        """Say where the last good state is, if there is one."""
        try:
            if self.file.is_symlink():  # what is copied over it would go where it leads
                return "Nothing was changed. Put the file itself here, or name the folder it is in with --state-dir."
            with self._folder.open() as folder:
                serial = parse_state(folder.read(BACKUP_FILE, max_bytes=_STATE_BYTES)).serial
        except (OSError, InvalidStateError):
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
                or "Make room, or the folder writable; or choose another with --state-dir.",
            ) from error
        return written

    def _check_unchanged(self, folder: OpenFolder, state: State) -> None:
        """See that the state on the disk is the one that was read, or was deleted: nobody else's is overwritten."""
        try:
            found = self._read(folder)
        except FileNotFoundError:
            return
        if (found.lineage, found.serial) != (state.lineage, state.serial):
            raise StateError(
                f"{self.file} was replaced while this command ran: its serial is {found.serial}, not {state.serial}",
                hint="It was left as it is. `clinder status` shows what it says.",
            )

    def _replace(self, folder: OpenFolder, data: bytes) -> None:
        if len(data) > _STATE_BYTES:  # it could not be read again
            raise OSError(errno.EFBIG, f"it would be larger than {_STATE_BYTES} bytes")
        try:
            partial = folder.write_partial(STATE_FILE, data, durably=True)
            _keep_backup(folder)
            folder.replace(partial, STATE_FILE)
        except OSError:
            _remove_leftovers(folder)
            raise
        with contextlib.suppress(OSError):  # some file systems cannot, and the new state is in its place already
            folder.sync()

    def prepare(self) -> None:
        """Make the folder, for its owner alone.

        Raises:
            OSError: it cannot be made.
            StateError: it is there and holds what is not clinder's: such a folder is not for us to close.
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
        with self._lock.held(operation, timeout_s=timeout_s, on_wait=on_wait, is_cancelled=is_cancelled) as folder:
            _remove_leftovers(folder)
            yield

    def is_locked(self) -> bool:
        """Say whether another holds the lock right now."""
        return self._lock.is_held()

    def holder(self) -> Process | None:
        """Read who holds the lock; `None` where that is not told."""
        return self._lock.holder()


def _keep_backup(folder: OpenFolder) -> None:
    """Make the present state the backup without its being away for a moment: a second link, else a copy."""
    if not folder.has(STATE_FILE):
        return
    partial = partial_name(BACKUP_FILE)
    folder.remove(partial)
    try:
        folder.link(STATE_FILE, partial)
    except OSError:
        partial = folder.write_partial(BACKUP_FILE, folder.read(STATE_FILE, max_bytes=_STATE_BYTES))
    folder.replace(partial, BACKUP_FILE)
    folder.remove(partial)  # still there if both were one file already: renaming then does nothing


def _remove_leftovers(folder: OpenFolder) -> None:
    """Remove what a clinder that was killed, or ran out of room, left half written. Needs the lock."""
    with contextlib.suppress(OSError):
        for name in filter(_LEFTOVER.fullmatch, folder.names()):
            with contextlib.suppress(OSError):
                folder.remove(name)


def _hint_if_intact(error: OSError) -> str:
    """Get advice for an error that says nothing about the file itself, so that nobody moves an intact one away."""
    advice = os_hint(error) or ("Make it readable." if error.errno in (errno.EACCES, errno.EPERM) else "")
    return advice and f"Nothing was changed, and the file may be intact. {advice}"
