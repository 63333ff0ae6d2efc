from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pace import assert_took_under

from clinder import __version__
from clinder.model.errors import LockedError, StateError
from clinder.model.session import PhaseTime, Session
from clinder.state import Pending, Process, State, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSION = Session(
    url="https://hub.example.org/user/x/",
    token="hunter2",
    hub="https://mybinder.org",
    provider="gh",
    repo="org/name",
    ref="main",
    phases=(PhaseTime(phase="waiting", seconds=1.5),),
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / ".clinder")


def document(folder: StateFolder) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(folder.file.read_text())
    return read


def pending() -> Pending:
    return Pending(hub="h", provider="gh", repo="o/n", ref="main", process=Process.current("up"))


# Reading and writing


def test_a_folder_without_a_state_reads_as_empty(folder: StateFolder) -> None:
    state = folder.read()
    assert (state.session, state.retired, state.pending, state.serial) == (None, (), None, 0)
    assert not folder.path.exists()


def test_a_state_is_read_as_it_was_written(folder: StateFolder) -> None:
    written = folder.write(State(session=SESSION, retired=(SESSION,), pending=pending()))
    assert folder.read() == written


def test_the_schema_is_unchanged(folder: StateFolder) -> None:
    """A changed key needs a new schema version, a migration and a fixture of the old version."""
    folder.write(State(session=SESSION, pending=pending()))
    read = document(folder)
    assert list(read) == ["version", "serial", "lineage", "clinder_version", "session", "retired", "pending"]
    assert read["version"] == 1
    assert read["clinder_version"] == __version__
    assert list(read["pending"]) == ["hub", "provider", "repo", "ref", "process"]
    assert list(read["pending"]["process"]) == ["operation", "user", "host", "pid", "since"]
    assert list(read["session"]) == [field.name for field in fields(Session)]


def test_a_write_increments_the_serial_and_keeps_the_lineage(folder: StateFolder) -> None:
    first = folder.write(State())
    second = folder.write(folder.read())
    assert (first.serial, second.serial) == (1, 2)
    assert first.lineage == second.lineage


def test_two_states_have_two_lineages() -> None:
    assert State().lineage != State().lineage


def test_the_previous_state_is_the_backup(folder: StateFolder) -> None:
    folder.write(State(session=SESSION))
    before = folder.file.read_text()
    folder.write(replace(folder.read(), session=None))
    assert folder.backup.read_text() == before


def test_a_state_is_flushed_before_it_replaces_the_old_one(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(State())
    synced: list[tuple[str, int]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, document(folder)["serial"]))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    folder.write(folder.read())
    assert synced == [(f"state.json.{os.getpid()}.tmp", 1), (".clinder", 2)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_folder_and_its_files_are_private(folder: StateFolder, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder.write(State())
        folder.write(folder.read())
        with folder.locked("up", timeout_s=0, on_wait=lambda holder: None):
            modes = {path.name: mode(path) for path in folder.path.iterdir()}
    finally:
        os.umask(before)
    assert mode(folder.path) == 0o700
    assert modes == dict.fromkeys(
        [".gitignore", "state.json", "state.json.bak", "state.lock", "state.holder.json"], 0o600
    )


def test_the_permissions_of_an_existing_folder_are_restricted(folder: StateFolder) -> None:
    folder.path.mkdir(mode=0o755)
    folder.write(State())
    assert mode(folder.path) == 0o700


def test_git_ignores_the_folder(folder: StateFolder) -> None:
    folder.write(State())
    assert (folder.path / ".gitignore").read_text() == "*\n"


def test_no_other_files_remain_in_the_folder(folder: StateFolder) -> None:
    for _ in range(3):
        folder.write(folder.read())
    assert {path.name for path in folder.path.iterdir()} == {".gitignore", "state.json", "state.json.bak"}


# Unreadable states


def damaged(folder: StateFolder, text: str | bytes) -> StateError:
    folder.file.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = folder.file.read_bytes()
    with pytest.raises(StateError) as caught:
        folder.read()
    assert folder.file.read_bytes() == before
    assert caught.value.exit_status == 9
    return caught.value


BROKEN = [
    "",
    "{",
    "null",
    "[]",
    "5",
    "{}",
    '{"version": "1"}',
    '{"version": 0}',
    '{"version": null}',
    b"\xff",
    "[" * 100000,
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: repr(text[:12]))
def test_a_damaged_state_is_refused_and_not_changed(folder: StateFolder, text: str | bytes) -> None:
    folder.prepare()
    error = damaged(folder, text)
    assert str(folder.file) in error.message
    assert "Nothing was changed" in error.hint


@pytest.mark.parametrize(
    "change",
    [{"serial": "x"}, {"session": 5}, {"session": {"url": 5}}, {"retired": None}, {"unheard_of": 1}, {"pending": {}}],
    ids=str,
)
def test_the_first_invalid_field_is_named(folder: StateFolder, change: dict[str, object]) -> None:
    folder.write(State())
    error = damaged(folder, json.dumps({**document(folder), **change}))
    assert f"is damaged: {next(iter(change))}" in error.message


def test_the_error_of_a_damaged_state_hides_the_token(folder: StateFolder) -> None:
    folder.write(State(session=SESSION))
    read = document(folder)
    read["session"]["token"] = {"x": "hunter2"}
    error = damaged(folder, json.dumps(read))
    assert "hunter2" not in f"{error.message} {error.hint} {error.__cause__}"


def test_the_hint_names_the_last_valid_state(folder: StateFolder) -> None:
    folder.write(State())
    folder.write(folder.read())
    error = damaged(folder, "{")
    assert f"Copy the last valid state, {folder.backup} (serial 1), over {folder.file}" in error.hint


def test_a_damaged_backup_is_not_offered(folder: StateFolder) -> None:
    folder.write(State())
    folder.backup.write_text("{")
    assert "last valid" not in damaged(folder, "{").hint


def test_a_newer_state_is_refused_with_its_version(folder: StateFolder) -> None:
    folder.prepare()
    error = damaged(folder, json.dumps({"version": 2, "clinder_version": "9.9.9", "surprise": True}))
    assert "was written by clinder 9.9.9 (schema 2)" in error.message
    assert f"this is clinder {__version__} (schema 1)" in error.message


def test_a_state_that_is_a_folder_cannot_be_read(folder: StateFolder) -> None:
    folder.prepare()
    folder.file.mkdir()
    with pytest.raises(StateError, match="cannot be read: it is a folder"):
        folder.read()


# Failed writes


def test_a_write_on_a_full_disk_leaves_the_state_unchanged(folder: StateFolder) -> None:
    folder.write(State(session=SESSION))
    before = folder.file.read_bytes()
    script = """
import pathlib, resource, signal, sys
from clinder.model.errors import StateError
from clinder.state import State, StateFolder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = StateFolder(pathlib.Path(sys.argv[1]))
state = folder.read()
limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
try:
    folder.write(state)
except StateError as error:
    print(error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))  # coverage writes a file at the end
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder.path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{folder.file} cannot be written: File too large\n"
    assert folder.file.read_bytes() == before
    assert not list(folder.path.glob("*.tmp"))


def test_a_folder_that_is_a_file_cannot_be_written(folder: StateFolder) -> None:
    folder.path.touch()
    with pytest.raises(StateError, match="cannot be written: it is not a folder"):
        folder.write(State())
    with (
        pytest.raises(StateError, match="cannot be locked: it is not a folder"),
        folder.locked("up", timeout_s=0, on_wait=lambda holder: None),
    ):
        pass


def test_without_hard_links_the_backup_is_a_copy(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(State())

    def refuse(*_paths: object, **_options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    folder.write(folder.read())
    assert json.loads(folder.backup.read_text())["serial"] == 1


# The lock


HOLD = """
import pathlib, sys
from clinder.state import StateFolder
with StateFolder(pathlib.Path(sys.argv[1])).locked("up", timeout_s=0, on_wait=print):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(folder: StateFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()


def test_the_error_for_a_held_lock_names_the_holder(folder: StateFolder, holder: subprocess.Popen[str]) -> None:
    holders: list[Process | None] = []
    with pytest.raises(LockedError) as caught, folder.locked("down", timeout_s=0.2, on_wait=holders.append):
        pass
    assert f"is locked by clinder up (process {holder.pid} of " in caught.value.message
    assert caught.value.exit_status == 4
    assert [each and (each.operation, each.pid) for each in holders] == [("up", holder.pid)]


def test_waiting_does_not_change_the_record_of_the_holder(folder: StateFolder, holder: subprocess.Popen[str]) -> None:
    for _ in range(3):
        with pytest.raises(LockedError), folder.locked("down", timeout_s=0, on_wait=lambda holder: None):
            pass
    noted = folder.holder()
    assert noted is not None
    assert noted.pid == holder.pid


def test_a_command_waits_for_the_lock(folder: StateFolder, holder: subprocess.Popen[str]) -> None:
    def let_go(_holder: Process | None) -> None:
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()

    with folder.locked("down", timeout_s=20, on_wait=let_go):
        noted = folder.holder()
    assert noted is not None
    assert noted.operation == "down"


def test_a_killed_holder_releases_the_lock(folder: StateFolder, holder: subprocess.Popen[str]) -> None:
    assert folder.is_locked()
    holder.send_signal(signal.SIGKILL)
    holder.wait(20)
    assert not folder.is_locked()
    with folder.locked("down", timeout_s=0, on_wait=lambda holder: None):
        noted = folder.holder()
    assert noted is not None
    assert noted.pid == os.getpid()


def test_waiting_for_the_lock_can_be_cancelled(folder: StateFolder, holder: subprocess.Popen[str]) -> None:
    given_up = threading.Event()
    began = time.monotonic()
    with (
        pytest.raises(LockedError),
        folder.locked("down", timeout_s=60, on_wait=lambda holder: given_up.set(), is_cancelled=given_up.is_set),
    ):
        pass
    assert_took_under(time.monotonic() - began, 20)


def test_a_released_lock_has_no_holder(folder: StateFolder) -> None:
    with folder.locked("up", timeout_s=0, on_wait=lambda holder: None):
        assert folder.holder() is not None
    assert folder.holder() is None
    assert not folder.is_locked()


def test_reading_needs_no_lock(folder: StateFolder, holder: subprocess.Popen[str]) -> None:
    assert folder.read().session is None


@pytest.mark.parametrize("note", ["", "{", "{}", "[]"])
def test_an_unreadable_holder_is_another_clinder(folder: StateFolder, holder: subprocess.Popen[str], note: str) -> None:
    (folder.path / "state.holder.json").write_text(note)
    with (
        pytest.raises(LockedError, match="is locked by another clinder"),
        folder.locked("down", timeout_s=0, on_wait=lambda holder: None),
    ):
        pass
