"""Folders in which clinder keeps files of its own, opened once and held while they are used.

A checkout or a shared folder can hold a link, a pipe or another user's file under any name that clinder uses. So a
folder is opened without following a link, its owner is checked, and everything in it is reached by its name relative to
the open folder: nothing leads out of it, whatever is renamed meanwhile.
"""

# ruff: noqa: PTH102, PTH105, PTH116, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from clinder.system import files

_HAS_DESCRIPTORS = os.open in os.supports_dir_fd
"""Whether a folder can be held open; on Windows names are joined to its path instead."""
_AS_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class UntrustedFolderError(OSError):
    """A link, or a folder of another user, was found where clinder looks for a folder of its own."""


def trust_hint(error: OSError) -> str:
    """Say how to use a folder that was refused for its owner, or as a link; empty for any other error."""
    if isinstance(error, UntrustedFolderError):
        return "If it is the folder that you mean, name it with --state-dir or CLINDER_STATE_DIR."
    return ""


@dataclass(frozen=True)
class PrivateFolder:
    """A folder in which clinder keeps files of its own; it need not exist yet.

    Attributes:
        path: where it is.
        is_named: whether the user named it, rather than that it was found: then it may be a symbolic link, and may
            belong to another user.
        parent: the folder of clinder's that it lies in, if any; it is opened by way of that one.
    """

    path: Path
    is_named: bool = False
    parent: PrivateFolder | None = None

    def within(self, name: str) -> PrivateFolder:
        """Get the folder of this name in this one."""
        return PrivateFolder(self.path / name, parent=self)

    def open(self) -> OpenFolder:
        """Open the folder.

        Raises:
            FileNotFoundError: it does not exist.
            UntrustedFolderError: it is a link or belongs to another user, and was not named.
            OSError: it cannot be opened, or is not a folder.
        """
        if self.parent:
            with self.parent.open() as parent:
                return parent.open_folder(self.path.name)
        folder = OpenFolder(self.path, _open_folder(self.path, follow=self.is_named))
        return folder if self.is_named else _refuse_foreign(folder, foreign_owner(self.path, folder.status))

    def make(self) -> OpenFolder:
        """Open the folder; make it, private to its owner, where it does not exist.

        What root makes by way of `sudo` in a folder of the caller's belongs to the caller.

        Raises:
            OSError: see `open`; or it cannot be made.
        """
        if self.parent:
            with self.parent.make() as parent:
                return parent.make_folder(self.path.name)
        with contextlib.suppress(FileNotFoundError):
            return self.open()
        is_new = _make_folder(self.path)
        folder = self.open()
        if is_new and folder.status.st_uid == 0 and (caller := files.sudo_caller()):
            above = self.path.parent.stat()
            if above.st_uid == caller:
                folder.give_to(above)
        return folder


def _make_folder(path: Path) -> bool:
    """Make a private folder, and what is missing above it; return whether it is new."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(files.PRIVATE_FOLDER)
    except FileExistsError:
        return False
    return True


def _open_folder(path: Path, *, follow: bool, dir_fd: int | None = None) -> int | None:
    """Open a folder, or one of this name in another; return its descriptor, or `None` where there are none."""
    try:
        if _HAS_DESCRIPTORS:
            no_follow = 0 if follow else os.O_NOFOLLOW
            return os.open(path, _AS_FOLDER | no_follow, dir_fd=dir_fd)
        if not stat.S_ISDIR(os.stat(path, follow_symlinks=follow).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", str(path))
    except OSError as error:
        if follow and error.errno == errno.ENOENT and _is_link(path, dir_fd):
            raise OSError(errno.ELOOP, "it is a symbolic link that leads nowhere", str(path)) from None
        if not follow and error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK) and _is_link(path, dir_fd):
            raise UntrustedFolderError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        if error.errno == errno.ENOTDIR:
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", str(path)) from None
        raise
    return None


def _is_link(path: Path, dir_fd: int | None) -> bool:
    try:
        return stat.S_ISLNK(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


class OpenFolder:
    """A folder that is held open, for as long as a `with` block takes.

    New files in it are private; what root writes belongs to the folder's owner.

    Attributes:
        path: where it was found, for messages.
        status: what `os.fstat` said of it.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor
        self.status = path.stat() if descriptor is None else os.fstat(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _at(self, name: str) -> str:
        return name if _HAS_DESCRIPTORS else str(self.path / name)

    @property
    def _dir_fd(self) -> dict[str, Any]:
        return {"dir_fd": self._descriptor} if _HAS_DESCRIPTORS else {}

    @property
    def _both(self) -> dict[str, Any]:
        return {f"{end}_dir_fd": self._descriptor for end in ("src", "dst")} if _HAS_DESCRIPTORS else {}

    def _foreign_owner(self, name: str, status: os.stat_result) -> str | None:
        """Name the other user that something in this folder belongs to; the folder's owner is none."""
        return None if status.st_uid == self.status.st_uid else foreign_owner(self.path / name, status)

    def open_folder(self, name: str) -> OpenFolder:
        """Open a folder in this one.

        Raises:
            OSError: see `PrivateFolder.open`.
        """
        path = self.path / name
        folder = OpenFolder(path, _open_folder(Path(self._at(name)), follow=False, dir_fd=self._descriptor))
        return _refuse_foreign(folder, self._foreign_owner(name, folder.status))

    def make_folder(self, name: str) -> OpenFolder:
        """Open a folder in this one; make it where it does not exist.

        Raises:
            OSError: see `open_folder`; or it cannot be made.
        """
        with contextlib.suppress(FileNotFoundError):
            return self.open_folder(name)
        is_new = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._at(name), files.PRIVATE_FOLDER, **self._dir_fd)
            is_new = True
        folder = self.open_folder(name)
        if is_new:
            folder.give_to(self.status)
        return folder

    def give_to(self, owner: os.stat_result) -> None:
        """Give this folder, which root has just made, to the owner of another."""
        if self._descriptor is not None and _give(self._descriptor, owner):
            self.status = os.fstat(self._descriptor)

    def make_private(self) -> None:
        """Close the folder to everyone but its owner, if it is one's own to close."""
        if not self.status.st_mode & 0o077:
            return
        if self._descriptor is None:
            self.path.chmod(files.PRIVATE_FOLDER)
        elif os.geteuid() in (0, self.status.st_uid):
            os.fchmod(self._descriptor, files.PRIVATE_FOLDER)

    def names(self) -> list[str]:
        """List the names of everything in the folder, in no order."""
        return os.listdir(self.path if self._descriptor is None else self._descriptor)

    def has(self, name: str) -> bool:
        """Whether there is anything of this name, be it a link that leads nowhere."""
        try:
            os.stat(self._at(name), follow_symlinks=False, **self._dir_fd)
        except FileNotFoundError:
            return False
        return True

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file that exists and return its descriptor.

        Raises:
            FileNotFoundError: it does not exist.
            OSError: it cannot be opened, is not a regular file (`files.open_regular`), or belongs to another user.
        """
        descriptor = files.open_regular(self._at(name), flags, **self._dir_fd)
        if owner := self._foreign_owner(name, os.fstat(descriptor)):
            os.close(descriptor)
            raise PermissionError(errno.EPERM, _belongs_to(owner), str(self.path / name))
        return descriptor

    def create_file(self, name: str) -> int:
        """Create a file and return its descriptor, open for reading and writing.

        Raises:
            FileExistsError: something of this name exists.
            OSError: it cannot be created.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        descriptor = files.open_regular(self._at(name), flags, **self._dir_fd)
        try:
            _give(descriptor, self.status)
        except OSError:
            os.close(descriptor)
            self.remove(name)
            raise
        return descriptor

    def open_or_create_file(self, name: str) -> int:
        """Open a file for reading and writing, as it is; create it, empty, where it does not exist.

        Raises:
            OSError: see `open_file` and `create_file`.
        """
        try:
            return self.create_file(name)
        except FileExistsError:
            return self.open_file(name, os.O_RDWR)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Read a regular file whole.

        Raises:
            OSError: see `open_file`; or it is larger than `max_bytes`.
        """
        descriptor = self.open_file(name)
        try:
            return files.read_descriptor(descriptor, max_bytes=max_bytes)
        finally:
            os.close(descriptor)

    def write_partial(self, name: str, data: bytes | str, *, durably: bool = False) -> str:
        """Write what is to become a file beside it, and return the name under which it waits to be put in its place.

        Raises:
            OSError: it cannot be written.
        """
        partial = partial_name(name)
        self.remove(partial)  # of a process with the same number that was killed
        try:
            files.write_descriptor(self.create_file(partial), data, durably=durably)
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(partial)
            raise
        return partial

    def write(self, name: str, data: bytes | str) -> None:
        """Write a file in place of what has its name: whole or not at all.

        Raises:
            OSError: it cannot be written; what was there before is still there.
        """
        partial = self.write_partial(name, data)
        try:
            self.replace(partial, name)
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(partial)
            raise

    def replace(self, name: str, by: str) -> None:
        """Rename a file, in place of what has the other name."""
        os.replace(self._at(name), self._at(by), **self._both)

    def link(self, name: str, other: str) -> None:
        """Give a file a second name, which must be free."""
        follow = {"follow_symlinks": False} if _HAS_DESCRIPTORS else {}
        os.link(self._at(name), self._at(other), **follow, **self._both)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), **self._dir_fd)

    def sync(self) -> None:
        """Flush the folder itself to the disk, where that can be done."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)


def foreign_owner(path: Path, status: os.stat_result) -> str | None:  # noqa: ARG001  # a rule may go by the path
    """Name the other user to whom what was found at `path` belongs; `None` if what that user put there is trusted."""
    return files.foreign_user(status.st_uid)


def _refuse_foreign(folder: OpenFolder, owner: str | None) -> OpenFolder:
    if owner is None:
        return folder
    folder.close()
    raise UntrustedFolderError(errno.EPERM, _belongs_to(owner), str(folder.path))


def _belongs_to(owner: str) -> str:
    return f"it belongs to another user ({owner})"


def partial_name(name: str) -> str:
    """Get the name of a file that this process has not put in its place yet."""
    return f"{name}.{os.getpid()}.tmp"


def _give(descriptor: int, owner: os.stat_result) -> bool:
    """Give what this process has just made to the owner of the folder, if it runs as root; return whether it did."""
    if not hasattr(os, "fchown") or os.geteuid() != 0 or os.fstat(descriptor).st_uid == owner.st_uid:
        return False
    os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return True
