"""The sessions that this machine's embedded hub has started, known by their URLs: whether they run, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.hubs.local import records
from clinder.hubs.local.cache import Cache, default_cache_dir
from clinder.hubs.local.processes import end

if TYPE_CHECKING:
    from pathlib import Path


def is_alive(url: str, *, cache_dir: Path | None = None) -> bool | None:
    """Whether the session at this URL runs; `None` if this machine's embedded hub never started one there."""
    record = records.find(Cache(cache_dir.absolute() if cache_dir else default_cache_dir()), url)
    return record.is_alive if record else None


def stop(url: str, timeout_s: float, *, cache_dir: Path | None = None) -> bool:
    """End the session at this URL with everything it started, and remove its working copy.

    Args:
        url: the session's URL.
        timeout_s: how long it may take to end by itself once asked to; it is killed after that.
        cache_dir: the hub's folder, if it is not the usual one.

    Returns:
        whether the session is known and gone.
    """
    cache = Cache(cache_dir.absolute() if cache_dir else default_cache_dir())
    record = records.find(cache, url)
    if record is None or record.server is None:
        return False
    gone = end(record.server, timeout_s)
    if gone:
        records.remove_folder(cache, record.name)
    return gone
