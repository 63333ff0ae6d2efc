"""Removes what the embedded hub keeps and nobody has used for long: environments, and what was cloned.

When a folder was last used is its own time of change: what lies in it is written when it is made, and never after.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import Timeout

from clinder.localhub.locks import lock_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_KEPT_S = 90 * 24 * 3600.0
_REMOVED = ".removed-"


def note_use(folder: Path) -> None:
    """Note that a folder is used now, if it is there."""
    with suppress(OSError):
        os.utime(folder)


def prune(kept: Path, in_use: Collection[str] = ()) -> None:
    """Remove the folders in `kept` that were last used more than 90 days ago, unless someone is making them anew.

    What cannot be removed is left to the next time.

    Args:
        kept: the folder that holds them, and their locks.
        in_use: the names of those that stay all the same.
    """
    with suppress(OSError):
        for folder in sorted(kept.iterdir()):
            if folder.name.startswith(_REMOVED):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.is_dir() and folder.name not in in_use and _is_old(folder):
                _remove(folder)


def _remove(folder: Path) -> None:
    lock = lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    try:
        if _is_old(folder):
            # At once, so that nobody finds half of it.
            folder = folder.rename(folder.with_name(f"{_REMOVED}{folder.name}"))
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > _KEPT_S
