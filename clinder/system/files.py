"""Files that another user may have prepared: opened without following links, without waiting, and read up to a limit.

A checkout, a shared folder or a cache can hold a symbolic link, a pipe, an endless file or a file of another user where
clinder expects its own. What is read or written there goes through these functions.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_BYTES = 1024 * 1024


def open_regular(
    path: str | Path,
    flags: int = os.O_RDONLY,
    *,
    dir_fd: int | None = None,
    follow: bool = False,
    mode: int = PRIVATE_FILE,
) -> int:
    """Open a regular file and return its descriptor; a file that this creates is private to its owner.

    Args:
        path: the file; its last component is not followed if it is a symbolic link.
        flags: those of `os.open`, such as `os.O_WRONLY | os.O_CREAT | os.O_EXCL`.
        dir_fd: the descriptor of the folder that a relative path starts from.
        follow: whether a symbolic link is followed all the same.
        mode: the permissions of a file that this creates, where they are not to be private.

    Raises:
        OSError: it cannot be opened, or it is a symbolic link, a folder, a pipe or a device; `strerror` says which.
    """
    safely = _SAFELY & ~getattr(os, "O_NOFOLLOW", 0) if follow else _SAFELY
    try:
        descriptor = os.open(path, flags | safely, mode, dir_fd=dir_fd)
    except ValueError:  # a null character, or what no file system can encode
        raise OSError(errno.EINVAL, "there can be no such path", str(path)) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and not follow:  # EMLINK: FreeBSD
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, opened for writing; or a socket
            raise OSError(errno.ENXIO, "it is not a regular file", str(path)) from None
        raise
    found = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(found):
        os.close(descriptor)
        number, words = (errno.EISDIR, "it is a folder") if stat.S_ISDIR(found) else (0, "it is not a regular file")
        raise OSError(number, words, str(path))
    return descriptor


def read_regular(
    path: str | Path, *, max_bytes: int, dir_fd: int | None = None, follow: bool = False, own: bool = False
) -> bytes:
    """Read a regular file whole.

    Args:
        path: see `open_regular`.
        max_bytes: how large the file may be.
        dir_fd: see `open_regular`.
        follow: see `open_regular`.
        own: whether a file of another user is refused (`foreign_owner`).

    Raises:
        OSError: it cannot be read, is not a regular file, is larger than `max_bytes` or belongs to another user;
            `strerror` says which.
    """
    descriptor = open_regular(path, dir_fd=dir_fd, follow=follow)
    try:
        if own and (owner := foreign_owner(descriptor)):
            raise OSError(errno.EPERM, f"it belongs to another user, {owner}", str(path))
        return read_descriptor(descriptor, max_bytes=max_bytes)
    finally:
        os.close(descriptor)


def read_descriptor(descriptor: int, *, max_bytes: int) -> bytes:
    """Read an open file to its end.

    Raises:
        OSError: it cannot be read, or more than `max_bytes` are left in it.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := os.read(descriptor, _READ_BYTES):
        size += len(piece)
        if size > max_bytes:
            raise OSError(errno.EFBIG, f"it is larger than {max_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def write_private(path: Path, data: bytes | str, *, durably: bool = False) -> None:
    """Write a file that only its owner can read, in place of an older one: whole or not at all.

    Args:
        path: the file; a symbolic link in its place is replaced, not followed.
        data: its content; text is written as UTF-8.
        durably: whether the data is on the disk before the file is in its place.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = open_regular(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_descriptor(descriptor, data, durably=durably)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_descriptor(descriptor: int, data: bytes | str, *, durably: bool = False) -> None:
    """Write data to an open file and close it, also where writing fails; see `write_private`.

    Raises:
        OSError: it cannot be written whole.
    """
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        if durably:
            os.fsync(file.fileno())


def foreign_owner(path: str | Path | int) -> str | None:
    """Get the name of the other user that a file, folder or link belongs to; `None` if it is one's own.

    One's own are also the files of root, and for root those of the user who called `sudo`, as git has it for
    `safe.directory`. Windows has no such owners.

    Args:
        path: the file itself, a link not followed; or the descriptor of an open file.

    Raises:
        OSError: it does not exist, or cannot be looked at.
    """
    return foreign_user((os.fstat(path) if isinstance(path, int) else os.lstat(path)).st_uid)


def foreign_user(number: int) -> str | None:
    """Get the name of the user with this number; `None` if what belongs to it counts as one's own (`foreign_owner`)."""
    if os.name == "nt" or number in (os.geteuid(), 0) or number == sudo_caller():
        return None
    return _user_name(number)


def sudo_caller() -> int | None:
    """Get the number of the user for whom root works here, by way of `sudo`."""
    caller = os.environ.get("SUDO_UID", "")
    return int(caller) if os.name != "nt" and os.geteuid() == 0 and re.fullmatch(r"[0-9]{1,10}", caller) else None


def _user_name(number: int) -> str:
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
