"""The records of the servers that this machine's embedded hub started: one file each, found by the session's URL.

The path of each session's URL holds a random name, so no later session ever has the same URL. A record
outlives its server and the session's folder: it is what tells a session that is gone from one never heard of.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clinder.localhub.environment_variables import RUNTIME_VARIABLE, runtime_folder
from clinder.localhub.processes import ProcessId, end, end_all, is_running
from clinder.system.files import read_regular, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.localhub.cache import Cache

_VERSION = 2
_NAME = re.compile(r"/user/([a-z0-9-]+)/")
_KEPT_S = 365 * 24 * 3600.0
_MAX_BYTES = 64 * 1024
_DECIDING_S = 5.0
"""How long a server may take to end, or to note that it is kept, once its launcher is gone (measured: 0.1 s)."""
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """One server.

    Attributes:
        name: the session's name, the last part of its URL's path.
        host: the machine whose processes are meant; the cache may lie on a shared disk.
        launcher: the process that starts the server.
        server: the server's process, once there is one.
        url: the session's URL, once it is ready.
        environment: what it runs in, by its name in the cache; empty for clinder's own.
        is_tied: whether the server ends with its launcher unless it is handed over; those of clinder 0.1 were not.
    """

    name: str
    host: str
    launcher: ProcessId | None
    server: ProcessId | None = None
    url: str = ""
    environment: str = ""
    is_tied: bool = True

    @property
    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self.server is not None and is_running(self.server)

    @property
    def is_launching(self) -> bool:
        """Whether the process that launches this server, or has launched it, still runs."""
        return self.launcher is not None and is_running(self.launcher)


def keep(cache: Cache, record: Record) -> None:
    """Write the record, in place of the one before."""
    fields = {
        "version": _VERSION,
        "name": record.name,
        "host": record.host,
        "launcher": _to_json(record.launcher),
        "server": _to_json(record.server),
        "url": record.url,
        "environment": record.environment,
    }
    write_private(cache.servers / f"{record.name}.json", json.dumps(fields))


def find(cache: Cache, url: str) -> Record | None:
    """The record of the session at this URL, if this machine's embedded hub started one there."""
    named = _NAME.fullmatch(urlsplit(url).path)
    record = _read(cache.record(named[1])) if named else None
    return record if record and record.url == url and record.host == platform.node() else None


def clean(cache: Cache) -> None:
    """Remove the folders of sessions that have ended, and end servers whose launcher died before handing them over."""
    for path in cache.servers.glob("*.json"):
        record = _read(path)
        if record is None or record.host != platform.node() or (record.is_launching and not record.url):
            continue
        if not record.is_launching and not _is_kept(cache, record) and not _end_left_behind(cache, record):
            continue
        if not record.is_alive:
            remove_folder(cache, record.name)
            if not record.url or _age_s(path) > _KEPT_S:
                _remove(cache, record.name)


def _is_kept(cache: Cache, record: Record) -> bool:
    return cache.kept(record.name).exists() if record.is_tied else bool(record.url)


def _end_left_behind(cache: Cache, record: Record) -> bool:
    """Wait until the server has ended or noted that it is kept; end one that does neither.

    Returns:
        whether it did one of the two.
    """
    if record.server is None:
        # Its launcher died before it could note the process; the server's variables name the session's folder.
        return end_all(RUNTIME_VARIABLE, str(runtime_folder(cache.session(record.name))), _DECIDING_S)
    deadline = time.monotonic() + (_DECIDING_S if record.is_tied else 0.0)
    while record.is_alive:
        if _is_kept(cache, record):
            return True
        if time.monotonic() >= deadline:
            return end(record.server, 0.0)
        time.sleep(_POLL_S)
    return True


def environments_in_use(cache: Cache) -> set[str]:
    """The environments of all sessions that run, or may do so on another machine."""
    known = (_read(path) for path in cache.servers.glob("*.json"))
    return {record.environment for record in known if record and (record.is_alive or record.host != platform.node())}


def remove_folder(cache: Cache, name: str) -> None:
    """Remove a session's folder; what cannot be removed now is left to the next `clean`."""
    shutil.rmtree(cache.session(name), ignore_errors=True)


def forget(cache: Cache, name: str) -> None:
    """Remove every trace of a session that was never ready."""
    remove_folder(cache, name)
    _remove(cache, name)


def _remove(cache: Cache, name: str) -> None:
    for path in (cache.record(name), cache.kept(name)):
        with suppress(OSError):
            path.unlink()


def _read(path: Path) -> Record | None:
    try:
        fields = json.loads(read_regular(path, max_bytes=_MAX_BYTES, own=True))
        return Record(
            name=path.stem,
            host=fields["host"],
            launcher=_from_json(fields["launcher"]),
            server=_from_json(fields["server"]),
            url=fields["url"],
            environment=fields.get("environment", ""),
            is_tied=fields["version"] >= _VERSION,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _to_json(process: ProcessId | None) -> list[int | str] | None:
    return [process.pid, process.started] if process else None


def _from_json(fields: list[int | str] | None) -> ProcessId | None:
    return ProcessId(int(fields[0]), str(fields[1])) if fields else None
