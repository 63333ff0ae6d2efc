"""The embedded hub's cache folder: folders and records that other users control are not used."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clinder.localhub import records
from clinder.localhub import sessions as running
from clinder.localhub.cache import Cache
from clinder.localhub.processes import identify
from clinder.model.errors import HubError
from unit.owners import NAME, Owners, owners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["owners"]

FOLDERS = ("repositories", "environments", "sessions", "servers")
URL = "http://127.0.0.1:8888/user/planted-0123456789ab/"


@pytest.fixture
def cache(tmp_path: Path, owners: Owners) -> Cache:
    """A cache with all its folders."""
    made = Cache.at(tmp_path / "cache")
    for name in FOLDERS:
        getattr(made, name)
    return made


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user that is not the server of a session."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def plant(cache: Cache, victim: subprocess.Popen[bytes], *, is_ready: bool) -> Path:
    """Record the process as the server of a session, either ready or left behind by a dead launcher."""
    name = URL.split("/")[-2]
    record = records.Record(name, platform.node(), None, identify(victim.pid), URL if is_ready else "")
    records.keep(cache, record)
    return cache.record(name)


@pytest.mark.parametrize("name", ["", *FOLDERS])
def test_a_folder_of_another_user_is_not_used(cache: Cache, owners: Owners, name: str) -> None:
    owners.give(cache.root / name)
    with pytest.raises(HubError, match=f"{cache.root / name} belongs to another user, {NAME}") as caught:
        getattr(cache, name or "servers")
    assert "Set CLINDER_CACHE_DIR to a folder of your own" in caught.value.hint


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
@pytest.mark.parametrize("name", ["", *FOLDERS])
def test_a_folder_that_others_can_write_to_is_not_used(cache: Cache, name: str, mode: int) -> None:
    (cache.root / name).chmod(mode)
    with pytest.raises(HubError, match="other users can write to"):
        getattr(cache, name or "sessions")
    (cache.root / name).chmod(0o755)
    getattr(cache, name or "sessions")


@pytest.mark.parametrize("name", ["", *FOLDERS])
def test_a_link_of_another_user_is_not_followed(cache: Cache, owners: Owners, name: str, tmp_path: Path) -> None:
    folder = cache.root / name
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    getattr(cache, name or "sessions")
    owners.give(folder)
    with pytest.raises(HubError, match=f"belongs to another user, {NAME}"):
        getattr(cache, name or "sessions")


SPOIL: dict[str, Callable[[Cache, Path, Owners], None]] = {
    "a cache of another user": lambda cache, _, owners: owners.give(cache.root),
    "a cache that others can write to": lambda cache, _, __: cache.root.chmod(0o777),
    "records of another user": lambda cache, _, owners: owners.give(cache.root / "servers"),
    "records that others can write": lambda cache, _, __: (cache.root / "servers").chmod(0o730),
    "a record of another user": lambda _, record, owners: owners.give(record),
    "a record that is a link": lambda _, record, __: link(record),
}


def link(record: Path) -> None:
    target = record.parents[1] / "target.json"
    record.rename(target)
    record.symlink_to(target)


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_planted_record_ends_no_process(
    cache: Cache, owners: Owners, victim: subprocess.Popen[bytes], spoil: Callable[[Cache, Path, Owners], None]
) -> None:
    record = plant(cache, victim, is_ready=True)
    assert running.is_alive(URL, cache_dir=cache.root) is True
    spoil(cache, record, owners)
    assert running.is_alive(URL, cache_dir=cache.root) is None
    assert not running.stop(URL, 0, cache_dir=cache.root)
    assert victim.poll() is None


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_planted_record_ends_no_process_at_the_next_launch(
    cache: Cache, owners: Owners, victim: subprocess.Popen[bytes], spoil: Callable[[Cache, Path, Owners], None]
) -> None:
    spoil(cache, plant(cache, victim, is_ready=False), owners)
    with contextlib.suppress(HubError):
        records.clean(cache)
    assert victim.poll() is None


def test_a_record_that_is_not_a_file_does_not_block(cache: Cache) -> None:
    os.mkfifo(cache.servers / "pipe.json")
    records.clean(cache)
