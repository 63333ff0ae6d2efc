"""The sessions that this machine's embedded hub has started, known by their URLs: whether they run, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.localhub import handover, records
from clinder.localhub.cache import Cache
from clinder.localhub.processes import end
from clinder.model.errors import HubError

if TYPE_CHECKING:
    from pathlib import Path


def is_alive(url: str, *, cache_dir: Path | None = None) -> bool | None:
    """Whether the session at this URL runs; `None` if this machine's embedded hub never started one there."""
    _, record = _find(url, cache_dir)
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
    cache, record = _find(url, cache_dir)
    if cache is None or record is None or record.server is None:
        return False
    gone = end(record.server, timeout_s)
    if gone:
        handover.drop(url)
        records.remove_folder(cache, record.name)
    return gone


def _find(url: str, cache_dir: Path | None) -> tuple[Cache | None, records.Record | None]:
    try:
        cache = Cache.at(cache_dir)
        return cache, records.find(cache, url)
    except HubError:
        return None, None  # where there is no place to keep anything, nothing was ever started
