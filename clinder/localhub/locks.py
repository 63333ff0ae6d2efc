"""Locks on what one launch at a time may fetch or build: who waits says so, and hears when the hub is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from clinder.localhub.processes import Children

_POLL_S = 0.1


def lock_of(folder: Path) -> FileLock:
    """The lock on a folder of the cache, which lies beside it."""
    # The thread that ends a launch may be another one than that which began it.
    return FileLock(folder.with_name(f"{folder.name}.lock"), mode=0o600, thread_local=False)


def acquire(folder: Path, children: Children, waiting: str) -> Generator[str, None, FileLock]:
    """Take the lock on a folder, waiting until whoever has it is done.

    Args:
        folder: what is locked; it need not be there yet.
        children: of the hub on whose behalf this waits.
        waiting: a line for the log, yielded once if there is a wait.

    Returns:
        the lock, for the caller to release.

    Raises:
        ClosedError: the hub was closed.
        OSError: the lock cannot be had.
    """
    lock = lock_of(folder)
    has_told = False
    while True:
        children.raise_if_closed()
        try:
            lock.acquire(timeout=_POLL_S if has_told else 0)
        except Timeout:
            if not has_told:
                yield waiting
            has_told = True
        else:
            return lock
