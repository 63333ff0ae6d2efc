"""Folders for clinder's own files, which stay open while they are used.

In a checkout or a shared folder, any name that clinder uses can be a link, a pipe or a file of another user. Therefore
a folder is opened without following links, its owner is checked, and files are opened by their names relative to the
open folder. No file outside of the folder is accessed, even if something is renamed at the same time.
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
"""Whether a folder can be kept open; on Windows, names are joined to its path instead."""
_AS_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class UntrustedFolderError(OSError):
    """A folder that was found is a symbolic link or belongs to another user."""


def trust_hint(error: OSError) -> str:
    """Get a hint on how to use a folder refused by `UntrustedFolderError`; empty for any other error."""
    if isinstance(error, UntrustedFolderError):
        return "To use this folder, name it with --state-dir or CLINDER_STATE_DIR."
    return ""


@dataclass(frozen=True)
class PrivateFolder:
    """A folder for clinder's own files, which may not exist yet.

    Attributes:
        path: its path.
        is_named: whether the user named the folder explicitly; only then may it be a symbolic link or belong to
            another user.
        parent: the private folder that contains it, if any; this one is then opened through it.
    """

    path: Path
    is_named: bool = False
    parent: PrivateFolder | None = None

    def within(self, name: str) -> PrivateFolder:
        """Get the subfolder of this name."""
        return PrivateFolder(self.path / name, parent=self)

    def open(self) -> OpenFolder:
        """Open the folder.

        Raises:
            FileNotFoundError: it does not exist.
            UntrustedFolderError: it is a link or belongs to another user, and is not named.
            OSError: it cannot be opened, or is not a folder.
        """
        if self.parent:
            with self.parent.open() as parent:
                return parent.open_folder(self.path.name)
        folder = OpenFolder(self.path, _open_folder(self.path, follow=self.is_named))
        return folder if self.is_named else _refuse_foreign(folder, foreign_owner(self.path, folder.status))

    def make(self) -> OpenFolder:
        """Open the folder; create it, private to its owner, if it does not exist.

        If root creates it through `sudo` in a folder of the calling user, it belongs to that user.

        Raises:
            OSError: see `open`; or it cannot be created.
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
    """Create a private folder and its missing parents; return whether it is new."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(files.PRIVATE_FOLDER)
    except FileExistsError:
        return False
    return True


def _open_folder(path: Path, *, follow: bool, dir_fd: int | None = None) -> int | None:
    """Open a folder, optionally relative to another one; return its descriptor, or `None` on Windows."""
    try:
        if _HAS_DESCRIPTORS:
            no_follow = 0 if follow else os.O_NOFOLLOW
            return os.open(path, _AS_FOLDER | no_follow, dir_fd=dir_fd)
        if not stat.S_ISDIR(os.stat(path, follow_symlinks=follow).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", str(path))
    except OSError as error:
        if follow and error.errno == errno.ENOENT and _is_link(path, dir_fd):
            raise OSError(errno.ELOOP, "it is a broken symbolic link", str(path)) from None
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
    """An open folder, to be closed by a `with` block.

    New files in it are private. Files that root creates belong to the owner of the folder.

    Attributes:
        path: its path, for messages.
        status: its status, from `os.fstat`.
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
        """Close the folder."""
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
        """Get the owner of a file in this folder; `None` for the current user and for the owner of the folder."""
        return None if status.st_uid == self.status.st_uid else foreign_owner(self.path / name, status)

    def open_folder(self, name: str) -> OpenFolder:
        """Open a subfolder.

        Raises:
            OSError: see `PrivateFolder.open`.
        """
        path = self.path / name
        folder = OpenFolder(path, _open_folder(Path(self._at(name)), follow=False, dir_fd=self._descriptor))
        return _refuse_foreign(folder, self._foreign_owner(name, folder.status))

    def make_folder(self, name: str) -> OpenFolder:
        """Open a subfolder; create it if it does not exist.

        Raises:
            OSError: see `open_folder`; or it cannot be created.
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
        """Change the owner of this folder, which root has just created, to the owner of another folder."""
        if self._descriptor is not None and _give(self._descriptor, owner):
            self.status = os.fstat(self._descriptor)

    def make_private(self) -> None:
        """Restrict the folder to its owner, if the current user may do so."""
        if not self.status.st_mode & 0o077:
            return
        if self._descriptor is None:
            self.path.chmod(files.PRIVATE_FOLDER)
        elif os.geteuid() in (0, self.status.st_uid):
            os.fchmod(self._descriptor, files.PRIVATE_FOLDER)

    def names(self) -> list[str]:
        """Get the names of all files in the folder, in arbitrary order."""
        return os.listdir(self.path if self._descriptor is None else self._descriptor)

    def has(self, name: str) -> bool:
        """Whether a file of this name exists; a broken link counts."""
        try:
            os.stat(self._at(name), follow_symlinks=False, **self._dir_fd)
        except FileNotFoundError:
            return False
        return True

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open an existing regular file and return its descriptor.

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
            FileExistsError: a file of this name exists.
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
        """Open a file for reading and writing; create it if it does not exist.

        Raises:
            OSError: see `open_file` and `create_file`.
        """
        try:
            return self.create_file(name)
        except FileExistsError:
            return self.open_file(name, os.O_RDWR)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Read a whole regular file.

        Raises:
            OSError: see `open_file`; or it is larger than `max_bytes`.
        """
        descriptor = self.open_file(name)
        try:
            return files.read_descriptor(descriptor, max_bytes=max_bytes)
        finally:
            os.close(descriptor)

    def write_partial(self, name: str, data: bytes | str, *, durably: bool = False) -> str:
        """Write the new content of a file to a temporary file in this folder, and return its name.

        Raises:
            OSError: it cannot be written.
        """
        partial = partial_name(name)
        self.remove(partial)  # from a killed process with the same id
        try:
            files.write_descriptor(self.create_file(partial), data, durably=durably)
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(partial)
            raise
        return partial

    def write(self, name: str, data: bytes | str) -> None:
        """Write a file, atomically replacing an existing file.

        Raises:
            OSError: it cannot be written; an existing file is unchanged.
        """
        partial = self.write_partial(name, data)
        try:
            self.replace(partial, name)
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(partial)
            raise

    def replace(self, name: str, by: str) -> None:
        """Rename a file; an existing file of the new name is replaced."""
        os.replace(self._at(name), self._at(by), **self._both)

    def link(self, name: str, other: str) -> None:
        """Create a hard link to a file; the new name must not exist."""
        follow = {"follow_symlinks": False} if _HAS_DESCRIPTORS else {}
        os.link(self._at(name), self._at(other), **follow, **self._both)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), **self._dir_fd)

    def sync(self) -> None:
        """Flush the folder itself to the disk, if the system supports it."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)


def foreign_owner(path: Path, status: os.stat_result) -> str | None:  # noqa: ARG001  # for rules by path
    """Get the name of the user who owns the file at `path`; `None` if files of that user are trusted."""
    return files.foreign_user(status.st_uid)


def _refuse_foreign(folder: OpenFolder, owner: str | None) -> OpenFolder:
    if owner is None:
        return folder
    folder.close()
    raise UntrustedFolderError(errno.EPERM, _belongs_to(owner), str(folder.path))


def _belongs_to(owner: str) -> str:
    return f"it belongs to another user ({owner})"


def partial_name(name: str) -> str:
    """Get the name of this process's temporary file for the new content of a file."""
    return f"{name}.{os.getpid()}.tmp"


def _give(descriptor: int, owner: os.stat_result) -> bool:
    """Give a new file to the owner of the folder, if this process runs as root; return whether it did."""
    if not hasattr(os, "fchown") or os.geteuid() != 0 or os.fstat(descriptor).st_uid == owner.st_uid:
        return False
    os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return True
