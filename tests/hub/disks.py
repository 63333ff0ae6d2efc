"""A disk that can be filled: a small mounted file system where possible, otherwise a limit on file sizes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import pytest

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 256 * 1024


class Disk(Protocol):
    """A folder whose disk can be full."""

    @property
    def folder(self) -> Path:
        """The folder on this disk."""

    def fill(self) -> None:
        """Use up all free space."""

    def free(self) -> None:
        """Free the space again."""


@contextlib.contextmanager
def full_disk(kind: str, folder: Path) -> Iterator[Disk]:
    """Create a disk: `disk` mounts a file system, `limit` limits the size of the files that this process writes."""
    if sys.platform == "win32":
        pytest.skip("Windows can neither mount file systems nor limit file sizes")
    folder.mkdir()
    if kind == "limit":
        limited = _Limited(folder)
        try:
            yield limited
        finally:
            limited.free()
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*root, "mount", "-t", "tmpfs", "-o", f"size={SIZE},uid={os.getuid()}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here; the test with a file size limit covers this")
    try:
        yield _Mounted(folder)
    finally:
        subprocess.run([*root, "umount", "-l", str(folder)], check=True)


class _Mounted:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.folder / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 512)

    def free(self) -> None:
        (self.folder / "ballast").unlink()


class _Limited:
    """The file size limit of this process; Python ignores the signal that goes with it (documentation of `signal`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, self._before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
