"""External problems of the state: full disk, missing permissions, links, foreign files, concurrent replacement."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import filelock
import pytest
from hub.disks import Disk, full_disk
from pace import assert_took_under

from clinder.model.errors import LockedError, StateError
from clinder.model.session import Session
from clinder.state import Process, State, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSION = Session(url="https://hub.example.org/user/x/", token="hunter2")
OTHER = Session(url="https://hub.example.org/user/y/", token="hunter3")


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / ".clinder")


@pytest.fixture(params=["disk", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with full_disk(request.param, tmp_path / "disk") as made:
        yield made


needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


def names(folder: StateFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()}


def lock(folder: StateFolder) -> None:
    with folder.locked("up", timeout_s=0, on_wait=lambda holder: None):
        pass


def refusal(folder: StateFolder) -> str:
    with pytest.raises(StateError) as caught:
        folder.read()
    return caught.value.message


# Full disk


def test_a_full_disk_leaves_state_and_backup_unchanged(disk: Disk) -> None:
    folder = StateFolder(disk.folder / ".clinder")
    state = folder.write(folder.write(State(session=SESSION)))
    before = {name: (folder.path / name).read_bytes() for name in names(folder)}
    disk.fill()
    with pytest.raises(StateError, match=r"cannot be written: (No space left on device|File too large)"):
        folder.write(state)
    disk.free()
    assert {name: (folder.path / name).read_bytes() for name in names(folder)} == before
    assert folder.write(state).serial == state.serial + 1


def test_the_lock_can_be_acquired_on_a_full_disk(disk: Disk) -> None:
    folder = StateFolder(disk.folder / ".clinder")
    folder.write(State())
    lock(folder)
    disk.fill()
    lock(folder)


# Interrupted writes


def test_temporary_files_of_a_killed_process_are_removed(folder: StateFolder) -> None:
    folder.write(State(session=SESSION))
    (folder.path / "state.json.4711.tmp").write_text('{"token": "hunt')
    (folder.path / "state.json.bak.4711.tmp").write_text("{}")
    lock(folder)
    assert names(folder) == {".gitignore", "state.json", "state.lock"}


def test_a_write_after_an_interrupted_one_leaves_no_files(folder: StateFolder) -> None:
    folder.write(State(session=SESSION))
    os.link(folder.file, folder.backup)
    folder.write(folder.read())
    assert names(folder) == {".gitignore", "state.json", "state.json.bak"}


# Concurrent replacement or deletion


def test_a_state_deleted_meanwhile_is_written_again(folder: StateFolder) -> None:
    state = folder.write(State(session=SESSION))
    folder.file.unlink()
    folder.write(state)
    assert folder.read().session == SESSION


@pytest.mark.parametrize("change", ["another lineage", "another serial", "damaged"])
def test_a_state_replaced_meanwhile_is_not_overwritten(folder: StateFolder, change: str) -> None:
    state = folder.write(State(session=SESSION))
    if change == "another lineage":
        folder.file.unlink()
        folder.write(State(session=OTHER))
    elif change == "another serial":
        folder.write(state)
    else:
        folder.file.write_text("{")
    before = folder.file.read_bytes()
    with pytest.raises(StateError, match=r"was replaced while this command ran|is damaged"):
        folder.write(state)
    assert folder.file.read_bytes() == before


# Links, and files that are not regular


@needs_links
def test_a_linked_state_is_neither_followed_nor_replaced(folder: StateFolder, tmp_path: Path) -> None:
    elsewhere = StateFolder(tmp_path / "elsewhere")
    state = elsewhere.write(State(session=SESSION))
    folder.prepare()
    folder.file.symlink_to(elsewhere.file)
    with pytest.raises(StateError, match="cannot be read: it is a symbolic link") as caught:
        folder.read()
    assert "Copy the last valid state" not in caught.value.hint
    with pytest.raises(StateError, match="it is a symbolic link"):
        folder.write(state)
    assert folder.file.is_symlink()
    assert elsewhere.read() == state


@needs_links
def test_a_broken_link_is_not_an_empty_state(folder: StateFolder, tmp_path: Path) -> None:
    folder.prepare()
    folder.file.symlink_to(tmp_path / "nowhere")
    assert "it is a symbolic link" in refusal(folder)
    assert not (tmp_path / "nowhere").exists()


@needs_links
def test_a_named_folder_may_be_a_link(folder: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    folder.path.symlink_to(tmp_path / "scratch")
    StateFolder(folder.path, is_named=True).write(State(session=SESSION))
    assert StateFolder(tmp_path / "scratch").read().session == SESSION


@needs_links
@pytest.mark.parametrize("leads_to", ["scratch", "nowhere"])
def test_a_folder_that_was_found_must_not_be_a_link(folder: StateFolder, tmp_path: Path, leads_to: str) -> None:
    (tmp_path / "scratch").mkdir()
    folder.path.symlink_to(tmp_path / leads_to)
    with pytest.raises(StateError, match=r"\.clinder cannot be read: it is a symbolic link") as caught:
        folder.read()
    assert "name it with --state-dir" in caught.value.hint
    with pytest.raises(StateError, match=r"\.clinder cannot be written: it is a symbolic link"):
        folder.write(State())
    with pytest.raises(StateError, match="cannot be locked: it is a symbolic link"):
        lock(folder)
    assert not folder.is_locked()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


@needs_links
def test_a_broken_named_link_is_not_an_empty_state(folder: StateFolder, tmp_path: Path) -> None:
    folder.path.symlink_to(tmp_path / "unmounted")
    named = StateFolder(folder.path, is_named=True)
    assert "cannot be read: it is a broken symbolic link" in refusal(named)
    with pytest.raises(StateError, match="cannot be locked: it is a broken symbolic link"):
        lock(named)
    assert named.is_there()


@needs_links
@pytest.mark.parametrize("name", [".gitignore", "state.holder.json"])
def test_no_file_is_written_through_a_link(folder: StateFolder, tmp_path: Path, name: str) -> None:
    folder.path.mkdir()
    (folder.path / name).symlink_to(tmp_path / "target")
    with contextlib.suppress(StateError):
        lock(folder)
    assert not (tmp_path / "target").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_state_that_is_a_pipe_is_refused_at_once(folder: StateFolder) -> None:
    folder.prepare()
    os.mkfifo(folder.file)
    assert "cannot be read: it is not a regular file" in refusal(folder)


# Foreign and modified files


def written(folder: StateFolder, **changes: Any) -> str:
    folder.write(State(session=SESSION, retired=(OTHER,)))
    document = json.loads(folder.file.read_text())
    for key, value in changes.items():
        where = document
        *path, last = key.split("__")
        for name in path:
            where = where[int(name) if name.isdecimal() else name]
        where[last] = value
    folder.file.write_text(json.dumps(document))
    return refusal(folder)


@pytest.mark.parametrize(
    "document",
    [
        {"version": 4, "serial": 7, "lineage": "x", "terraform_version": "1.9.0", "resources": []},
        {"version": True, "serial": 7, "lineage": "x"},
        {"version": 1, "entries": []},
        {"version": 1, "lineage": "x"},
    ],
    ids=["of another tool", "true", "another form", "without a serial"],
)
def test_another_json_file_is_not_a_state(folder: StateFolder, document: object) -> None:
    folder.prepare()
    folder.file.write_text(json.dumps(document))
    assert "is not a clinder state" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("session__url", "javascript:alert(1)"),
        ("session__url", "https://["),
        ("session__url", "https://hub.example.org/$(id)/"),
        ("session__token", "a\r\nX-Evil: hunter4"),
        ("retired__0__url", "file:///etc/passwd"),
        ("retired__0__token", ""),
    ],
)
def test_a_session_with_an_invalid_url_or_token_is_refused(folder: StateFolder, key: str, value: str) -> None:
    message = written(folder, **{key: value})
    assert f"is damaged: {'session' if key.startswith('session') else 'retired[0]'}: " in message
    assert "hunter" not in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("session__phases", [{"phase": "building", "seconds": 10**400}]),
        ("session__phases", [{"phase": "building", "seconds": float("nan")}]),
        ("session__ready_at", "0001-01-01T00:00:00+14:00"),
        ("session__ready_at", "9999-12-31T23:59:59-12:00"),
        ("serial", 1.5),
        ("serial", True),
        ("version", 1.0),
    ],
)
def test_an_extreme_number_or_date_is_refused(folder: StateFolder, key: str, value: object) -> None:
    assert str(folder.file) in written(folder, **{key: value})


# The lock and its holder


def test_checking_the_lock_does_not_count_as_holding_it(folder: StateFolder) -> None:
    folder.prepare()
    looking = filelock.FileLock(folder.path / "state.lock", thread_local=False)
    looking.acquire()
    done = threading.Timer(0.01, looking.release)
    done.start()
    lock(folder)
    done.join()


def test_a_clock_running_backwards_does_not_prolong_waiting(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    with folder.locked("up", timeout_s=0, on_wait=lambda holder: None):
        clock = itertools.count(2_000_000_000, -3600)
        monkeypatch.setattr(time, "time", lambda: float(next(clock)))
        with pytest.raises(LockedError), folder.locked("down", timeout_s=0.2, on_wait=lambda holder: None):
            pass
    assert_took_under(time.monotonic() - began, 5)


def test_a_late_record_of_the_holder_is_still_shown(folder: StateFolder) -> None:
    holders: list[Process | None] = []
    folder.prepare()
    with folder.locked("up", timeout_s=0, on_wait=lambda holder: None):
        note = folder.path / "state.holder.json"
        text = note.read_text()
        note.unlink()
        late = threading.Timer(0.05, note.write_text, [text])
        late.start()
        with pytest.raises(LockedError), StateFolder(folder.path).locked("down", timeout_s=0, on_wait=holders.append):
            pass
        late.join()
    assert [holder and holder.operation for holder in holders] == ["up"]


def test_a_folder_with_other_files_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "notebook.ipynb").write_text("{}", encoding="utf-8")
    tmp_path.chmod(0o755)
    folder = StateFolder(tmp_path)
    with pytest.raises(StateError, match="is not a state folder: it contains notebook"):
        folder.write(State())
    with pytest.raises(StateError, match="is not a state folder"), folder.locked("up", timeout_s=0, on_wait=print):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notebook.ipynb"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_flushed_has_the_new_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    folder = StateFolder(tmp_path / ".clinder")
    state = folder.write(folder.write(State()))
    assert folder.read() == state
