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

from clinder.localhub.cache import Cache, write_private
from clinder.localhub.processes import ProcessId, end, is_running
from clinder.system.files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"/user/([a-z0-9-]+)/")
_MAX_BYTES = 64 * 1024
_KEPT_S = 365 * 24 * 3600.0


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
    """

    name: str
    host: str
    launcher: ProcessId | None
    server: ProcessId | None = None
    url: str = ""
    environment: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self.server is not None and is_running(self.server)

    @property
    def is_left_behind(self) -> bool:
        """Whether whoever was starting this server went away before it was ready, so that nobody has its token."""
        return not self.url and not (self.launcher and is_running(self.launcher))


def keep(cache: Cache, record: Record) -> None:
    """Write the record, in place of the one before."""
    fields = {
        "version": 1,
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
    """Remove the folders of sessions that have ended, and end servers that nobody can know of."""
    for path in cache.servers.glob("*.json"):
        record = _read(path)
        if record is None or record.host != platform.node():
            continue
        if record.is_alive and record.is_left_behind and record.server is not None:
            end(record.server, 0.0)
        if not record.is_alive and (record.url or record.is_left_behind):
            remove_folder(cache, record.name)
            if not record.url or _age_s(path) > _KEPT_S:
                _remove(path)


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
    _remove(cache.record(name))


def _remove(path: Path) -> None:
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
