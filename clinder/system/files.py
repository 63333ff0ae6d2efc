"""Safe access to files that another user may control: links are not followed, pipes do not block, sizes are limited.

In a checkout, a shared folder or a cache, there can be a symbolic link, a pipe, an endless file or a file of another
user where clinder expects its own file. Use these functions to read or write such files.
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
    """Open a regular file and return its descriptor; by default, a new file is private to its owner.

    Args:
        path: the file; a symbolic link as the last component is not followed.
        flags: the flags of `os.open`, such as `os.O_WRONLY | os.O_CREAT | os.O_EXCL`.
        dir_fd: the descriptor of the folder that a relative path is relative to.
        follow: whether a symbolic link is followed.
        mode: the permissions of a new file.

    Raises:
        OSError: it cannot be opened, or is a symbolic link, a folder, a pipe or a device; `strerror` has the reason.
    """
    safely = _SAFELY & ~getattr(os, "O_NOFOLLOW", 0) if follow else _SAFELY
    try:
        descriptor = os.open(path, flags | safely, mode, dir_fd=dir_fd)
    except ValueError:  # a null character, or characters that the file system cannot encode
        raise OSError(errno.EINVAL, "the path is invalid", str(path)) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and not follow:  # EMLINK: FreeBSD
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        if error.errno == errno.ENXIO:  # a pipe without a reader, opened for writing; or a socket
            raise OSError(errno.ENXIO, "it is not a regular file", str(path)) from None
        raise
    found = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(found):
        os.close(descriptor)
        number, reason = (errno.EISDIR, "it is a folder") if stat.S_ISDIR(found) else (0, "it is not a regular file")
        raise OSError(number, reason, str(path))
    return descriptor


def read_regular(
    path: str | Path, *, max_bytes: int, dir_fd: int | None = None, follow: bool = False, own: bool = False
) -> bytes:
    """Read a whole regular file.

    Args:
        path: see `open_regular`.
        max_bytes: the maximum size of the file.
        dir_fd: see `open_regular`.
        follow: see `open_regular`.
        own: whether to refuse a file of another user (see `foreign_owner`).

    Raises:
        OSError: it cannot be read, is not a regular file, is larger than `max_bytes` or belongs to another user;
            `strerror` has the reason.
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
        OSError: it cannot be read, or has more than `max_bytes` remaining.
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
    """Write a file that only its owner can read, atomically replacing an existing file.

    Args:
        path: the file; a symbolic link is replaced, not followed.
        data: the content; a string is encoded as UTF-8.
        durably: whether to flush the data to the disk before the file is replaced.

    Raises:
        OSError: it cannot be written; an existing file is unchanged.
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
    """Write data to an open file and close it, even if writing fails; see `write_private`.

    Raises:
        OSError: the data cannot be written completely.
    """
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        if durably:
            os.fsync(file.fileno())


def foreign_owner(path: str | Path | int) -> str | None:
    """Get the name of the other user who owns a file, folder or link; `None` if the current user owns it.

    Files of root also count as the current user's. For root, so do files of the user who called `sudo`. This is the
    rule of git's `safe.directory`. On Windows, the result is always `None`.

    Args:
        path: a path, of which a link is not followed, or the descriptor of an open file.

    Raises:
        OSError: it does not exist, or cannot be inspected.
    """
    return foreign_user((os.fstat(path) if isinstance(path, int) else os.lstat(path)).st_uid)


def foreign_user(uid: int) -> str | None:
    """Get the name of the user with this id; `None` if it counts as the current user (see `foreign_owner`)."""
    if os.name == "nt" or uid in (os.geteuid(), 0) or uid == sudo_caller():
        return None
    return _user_name(uid)


def sudo_caller() -> int | None:
    """Get the id of the user who called `sudo`, if clinder runs as root through `sudo`."""
    caller = os.environ.get("SUDO_UID", "")
    return int(caller) if os.name != "nt" and os.geteuid() == 0 and re.fullmatch(r"[0-9]{1,10}", caller) else None


def _user_name(uid: int) -> str:
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
