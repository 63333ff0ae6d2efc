"""Commands in a folder that is full, read-only, replaced or damaged: no session is lost without a message."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import Config
from clinder.model.errors import ClinderError, StateError, UnreachableError
from clinder.model.events import Message
from clinder.model.session import Session
from clinder.operations.context import RunContext
from clinder.operations.inspect import preview, status
from clinder.operations.lifecycle import down, up
from clinder.operations.results import DownAction, UpAction
from clinder.state import State, StateFolder
from hub.clocks import set_back
from hub.disks import Disk, full_disk
from hub.forks import Ended, Forks
from hub.servers import TOKEN, Connection, JupyterSession, Request, Server, event, play

if TYPE_CHECKING:
    from pathlib import Path

    from hub.cluster import Cluster
    from hub.conftest import Heard

pytestmark = pytest.mark.skipif(os.name == "nt", reason="file modes and deleting open files need POSIX")
Configure = Callable[..., Config]
OTHER = Session(url="https://hub.example.org/user/y/", token="hunter3")


def recorded(config: Config) -> State:
    return StateFolder(config.state_dir).read()


def launches_after(session: JupyterSession, happening: Callable[[], object]) -> Callable[[Request, Connection], None]:
    """A hub that calls a function during each launch."""

    def handle(_request: Request, connection: Connection) -> None:
        def happen(_connection: Connection) -> None:
            happening()

        play(connection, event("built", "ok\n"), happen, session.ready())

    return handle


# No space left


@pytest.fixture(params=["disk", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with full_disk(request.param, tmp_path / "disk") as made:
        yield made


@pytest.fixture
def on_disk(disk: Disk, configure: Configure) -> Configure:
    def make(**settings: object) -> Config:
        return replace(configure(**settings), known_state_dir=disk.folder / ".clinder")

    return make


def test_nothing_is_launched_on_a_full_disk(disk: Disk, on_disk: Configure, hub: Server, context: RunContext) -> None:
    StateFolder(disk.folder / ".clinder").prepare()
    disk.fill()
    with pytest.raises(StateError, match="cannot be written"):
        up(on_disk(), context)
    assert hub.requests == []


def test_a_session_that_a_full_disk_cannot_record_is_stopped_and_reported(
    disk: Disk, on_disk: Configure, hub: Server, session: JupyterSession, heard: Heard
) -> None:
    hub.handler = launches_after(session, disk.fill)
    with pytest.raises(StateError, match="cannot be written") as caught:
        up(on_disk(), RunContext(on_event=heard))
    disk.free()
    assert session.was_shut_down
    assert caught.value.session is None
    down(on_disk(), RunContext(on_event=heard))
    assert any("never finished" in item.text for item in heard.items if isinstance(item, Message))


def test_a_session_recorded_before_the_disk_is_full_is_up(
    disk: Disk, on_disk: Configure, session: JupyterSession, heard: Heard
) -> None:
    def fill(request: Request, connection: Connection) -> None:
        del session.overrides["POST", "api/kernels"]
        disk.fill()
        session.handler(request, connection)

    session.overrides["POST", "api/kernels"] = fill
    result = up(on_disk(), RunContext(on_event=heard))
    disk.free()
    known = recorded(on_disk()).session
    assert known is not None
    assert (result.session.url, known.url) == (session.session_url, session.session_url)
    assert any("the session itself is recorded" in item.text for item in heard.items if isinstance(item, Message))


def test_down_on_a_full_disk_stops_the_session_and_reports_the_failed_write(
    disk: Disk, on_disk: Configure, session: JupyterSession, context: RunContext
) -> None:
    up(on_disk(), context)
    disk.fill()
    with pytest.raises(StateError, match="cannot be written") as caught:
        down(on_disk(), context)
    disk.free()
    assert session.was_shut_down
    assert caught.value.hint.startswith("The session was stopped.")
    assert down(on_disk(), context).action is DownAction.ALREADY_GONE


def test_a_session_that_cannot_be_stopped_on_a_full_disk_stays_recorded(
    disk: Disk, on_disk: Configure, session: JupyterSession, context: RunContext
) -> None:
    up(on_disk(), context)
    session.mode = "503"
    disk.fill()
    with pytest.raises(UnreachableError):
        down(on_disk(timeouts__stop=0.2), context)
    disk.free()
    known = recorded(on_disk()).session
    assert known is not None
    assert known.url == session.session_url


# No permission to write


@pytest.fixture
def bound(project: Path, tmp_path: Path) -> Iterator[Forks]:
    """Commands that respect the modes of files, even if the tests run as root."""
    (tmp_path / "bound").mkdir()
    with Forks(project, tmp_path / "bound", obeys_modes=True) as running:
        yield running


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def statuses(ended: list[Ended]) -> list[int]:
    return [item.status for item in ended]


ALL = [("up",), ("down",), ("status",), ("plan",)]


def test_nothing_is_launched_in_a_read_only_folder(cluster: Cluster, project: Path, bound: Forks) -> None:
    with mode(project, 0o500):
        ended = [bound.run(*command) for command in ALL]
    assert statuses(ended) == [9, 0, 6, 0]
    assert "cannot be locked: Permission denied" in ended[0].err
    assert cluster.sessions == {}


def test_a_session_with_a_read_only_state_can_be_inspected_and_stopped(
    cluster: Cluster, project: Path, bound: Forks
) -> None:
    bound.run("up")
    with mode(project / ".clinder", 0o500):
        ended = [bound.run(*command) for command in [("status",), ("plan",), ("up",), ("up", "--ref", "v2"), ("down",)]]
    assert statuses(ended) == [0, 0, 0, 9, 9]
    assert len(cluster.sessions) == 1
    assert cluster.running == set()
    assert "The session was stopped." in ended[-1].err
    assert bound.run("down").status == 0


def test_a_lock_that_cannot_be_opened_reports_that_the_session_is_still_running(
    cluster: Cluster, project: Path, bound: Forks
) -> None:
    bound.run("up")
    with mode(project / ".clinder" / "state.lock", 0o400):
        ended = bound.run("down")
    assert ended.status == 9
    assert "A session that is recorded there continues to run." in ended.err
    assert len(cluster.running) == 1


@pytest.mark.parametrize("what", [".clinder", ".clinder/state.json"])
def test_an_unreadable_state_is_not_taken_for_an_empty_one(
    cluster: Cluster, project: Path, bound: Forks, what: str
) -> None:
    bound.run("up")
    with mode(project / what, 0):
        ended = [bound.run(*command) for command in ALL]
    assert statuses(ended) == [9, 9, 9, 9]
    assert all("Permission denied" in item.err for item in ended)
    assert len(cluster.sessions) == 1
    assert bound.run("down").status == 0
    assert cluster.running == set()


# Damaged


FOREIGN = {
    "empty": "",
    "truncated": None,
    "not JSON": "\x00\xff",
    "newer": json.dumps({"version": 2, "clinder_version": "9.9.9", "serial": 1, "lineage": "x"}),
    "of another tool": json.dumps({"version": 4, "serial": 7, "lineage": "x", "terraform_version": "1.9.0"}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_state_stops_every_command_and_is_not_changed(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, kind: str
) -> None:
    up(configure(), context)
    file = StateFolder(configure().state_dir).file
    content = FOREIGN[kind]
    file.write_text(file.read_text()[:200] if content is None else content)
    before, launches = file.read_bytes(), len(hub.requests)
    commands: list[Callable[[], object]] = [
        lambda: up(configure(), context),
        lambda: down(configure(), context),
        lambda: status(configure()),
        lambda: preview(configure()),
    ]
    for command in commands:
        with pytest.raises(StateError):
            command()
    assert (file.read_bytes(), len(hub.requests)) == (before, launches)
    assert not session.was_shut_down


def test_the_repair_in_the_message_fixes_a_damaged_state(
    session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    up(configure(), context)
    folder = StateFolder(configure().state_dir)
    folder.file.write_text("{")
    with pytest.raises(StateError, match="is damaged") as caught:
        down(configure(), context)
    assert f"{folder.backup} (serial 2), over {folder.file}" in caught.value.hint
    shutil.copy(folder.backup, folder.file)
    assert down(configure(), context).action is DownAction.STOPPED


# Changed while a command is running


def test_a_folder_deleted_during_a_launch_is_created_again(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = launches_after(session, lambda: shutil.rmtree(configure().state_dir))
    up(configure(), context)
    known = recorded(configure()).session
    assert known is not None
    assert known.url == session.session_url


def replace_state(config: Config) -> None:
    folder = StateFolder(config.state_dir)
    folder.file.unlink()
    folder.write(State(session=OTHER))


def damage_state(config: Config) -> None:
    StateFolder(config.state_dir).file.write_text("{")


@pytest.mark.parametrize("change", [replace_state, damage_state], ids=["replaced", "damaged"])
def test_a_state_changed_during_a_launch_is_kept_and_the_session_stopped(
    hub: Server,
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    change: Callable[[Config], None],
) -> None:
    left: list[bytes] = []

    def happen() -> None:
        change(configure())
        left.append(StateFolder(configure().state_dir).file.read_bytes())

    hub.handler = launches_after(session, happen)
    with pytest.raises(StateError, match=r"was replaced while this command ran|is damaged") as caught:
        up(configure(), context)
    assert session.was_shut_down
    assert caught.value.session is None
    assert [StateFolder(configure().state_dir).file.read_bytes()] == left


def test_a_session_that_can_be_neither_stopped_nor_recorded_is_printed(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    session.mode = "503"
    hub.handler = launches_after(session, lambda: replace_state(configure()))
    with pytest.raises(StateError) as caught:
        up(configure(timeouts__stop=0.2), context)
    assert caught.value.session is not None
    assert caught.value.session.uri == f"{session.session_url}?token={TOKEN}"


@pytest.mark.parametrize("stops", [True, False])
def test_a_session_whose_state_is_replaced_during_down_is_stopped_or_printed(
    session: JupyterSession, configure: Configure, context: RunContext, stops: bool
) -> None:
    up(configure(), context)
    session.after_shutdown = "404" if stops else "503"

    def replaced(request: Request, connection: Connection) -> None:
        del session.overrides["POST", "api/shutdown"]
        replace_state(configure())
        session.handler(request, connection)

    session.overrides["POST", "api/shutdown"] = replaced
    with pytest.raises(ClinderError) as caught:
        down(configure(timeouts__stop=0.3), context)
    assert session.was_shut_down
    if stops:
        assert caught.value.hint.startswith("The session was stopped.")
    else:
        assert caught.value.session is not None
        assert caught.value.session.url == session.session_url
    assert recorded(configure()).session == OTHER


def test_two_launches_after_the_folder_was_deleted_leave_one_session(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    """The lock disappears with the folder, so a second `up` does not wait."""
    with JupyterSession("y") as second:

        def overtake() -> None:
            shutil.rmtree(configure().state_dir)
            hub.handler = second.launch()
            up(configure(), RunContext(lock_timeout_s=0))

        hub.handler = launches_after(session, overtake)
        with pytest.raises(StateError, match="was replaced while this command ran"):
            up(configure(), context)
        known = recorded(configure()).session
        assert known is not None
        assert known.url == second.session_url
        assert session.was_shut_down
        assert not second.was_shut_down


# A clock that is set back


@pytest.mark.usefixtures("quick_polls")
def test_a_clock_set_back_only_changes_timestamps(
    hub: Server,
    session: JupyterSession,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    up(configure(), context)
    with JupyterSession("y") as second:
        hub.handler = launches_after(second, lambda: set_back(monkeypatch, hours=24 * 400))
        result = up(configure(ref="v2"), context)
        assert result.action is UpAction.REPLACED
        assert all(0 <= phase.seconds < 10 for phase in result.session.phases)
        assert str(result.session.ready_at) < str(result.session.launched_at), "the clock was set back"
        state = recorded(configure())
        assert state.session is not None
        assert (state.session.url, state.retired) == (second.session_url, ())
        seen = status(configure())
        assert seen.seen is not None
        assert down(configure(), context).action is DownAction.STOPPED
