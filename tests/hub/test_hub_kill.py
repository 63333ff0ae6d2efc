"""`up` and `down` killed with SIGKILL at every step and at random moments: what remains, and what the next one does."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import Config, load_config
from clinder.model.events import Message
from clinder.model.session import Session
from clinder.operations.context import RunContext
from clinder.operations.lifecycle import down, up
from clinder.state import Pending, Process, State, StateFolder
from hub.cluster import Cluster, Launched
from hub.forks import KILLED, Forks

if TYPE_CHECKING:
    from pathlib import Path

    from hub.conftest import Heard

RANDOM_KILLS = 60
NEVER_FINISHED = re.compile(r"the launch by clinder \w+ \(process (\d+) .*?never finished")
pytestmark = pytest.mark.usefixtures("quick_polls")
Prepare = Callable[[Cluster, StateFolder], None]


def configured(project: Path, ref: str = "main") -> Config:
    return load_config(options={"ref": ref, "session.warm": "off"}, file=project / "clinder.toml", environment={})


def named(state: State) -> set[str]:
    return {session.url for session in (state.session, *state.retired) if session}


def recorded(launched: Launched, hub: Cluster) -> Session:
    return Session(
        url=launched.url, token=launched.token, hub=hub.url, provider="gh", repo="org/name", ref=launched.ref
    )


def nothing(_hub: Cluster, _folder: StateFolder) -> None:
    pass


def a_session(hub: Cluster, folder: StateFolder) -> None:
    folder.write(State(session=recorded(hub.add(), hub)))


def all_at_once(hub: Cluster, folder: StateFolder) -> None:
    """A gone session, a retired one that is still running, and a launch that never finished."""
    gone = hub.add()
    gone.mode = "404"
    pending = Pending(hub=hub.url, provider="gh", repo="org/name", ref="main", process=Process.current("up"))
    folder.write(State(session=recorded(gone, hub), retired=(recorded(hub.add("v0"), hub),), pending=pending))


@pytest.mark.parametrize(
    ("command", "ref", "prepare", "fewest_steps"),
    [
        ("up", "main", nothing, 60),
        ("up", "v2", a_session, 90),
        ("up", "main", all_at_once, 90),
        ("down", "main", a_session, 40),
        ("down", "main", all_at_once, 50),
    ],
    ids=["up", "replacing up", "up after a crash", "down", "down after a crash"],
)
def test_a_command_killed_at_any_step_is_repaired_by_the_next_one(
    cluster: Cluster,
    project: Path,
    forks: Forks,
    heard: Heard,
    command: str,
    ref: str,
    prepare: Prepare,
    fewest_steps: int,
) -> None:
    folder = StateFolder(project / ".clinder")
    by_serial: dict[int, object] = {}
    for step in range(1, 1000):
        shutil.rmtree(folder.path, ignore_errors=True)
        cluster.sessions.clear()
        prepare(cluster, folder)
        known = set(cluster.sessions)
        ended = forks.run(command, *(("--ref", ref) if command == "up" else ()), kill_at=step)
        cluster.settle()
        state = folder.read()
        assert by_serial.setdefault(state.serial, shape(state)) == shape(state), "neither the state before nor after"
        assert_backup_is_whole(folder, state)
        assert not folder.is_locked()
        lost = cluster.running - named(state)
        if ended.status != KILLED:
            assert (ended.status, lost) == (0, set())
            assert step > fewest_steps, "the command was not killed at every step"
            return
        assert lost <= {launched.url for name, launched in cluster.sessions.items() if name not in known}
        assert len(lost) <= (state.pending is not None), "a session was lost that was not being launched"
        assert not any(cluster.find(url).was_asked for url in lost), "a session was used before it was recorded"
        heard.items.clear()
        (up if command == "up" else down)(configured(project, ref), RunContext(on_event=heard))
        if state.pending:
            assert reported(heard) == [str(state.pending.process.pid)]
        state = folder.read()
        assert (state.pending, state.retired) == (None, ())
        assert (state.session is not None) is (command == "up")
        assert named(state) == cluster.running - lost
        assert_nothing_is_left_over(folder)
    raise AssertionError("the command never ended without being killed")


def shape(state: State) -> tuple[bool, int, bool]:
    return (state.session is not None, len(state.retired), state.pending is not None)


def reported(heard: Heard) -> list[str]:
    """The processes whose launches were reported as never finished."""
    texts = [item.text for item in heard.items if isinstance(item, Message) and item.warning]
    return [found for text in texts for found in NEVER_FINISHED.findall(text)]


def assert_backup_is_whole(folder: StateFolder, state: State) -> None:
    if folder.backup.exists():
        assert json.loads(folder.backup.read_text())["serial"] in (state.serial - 1, state.serial)


def assert_nothing_is_left_over(folder: StateFolder) -> None:
    assert {path.name for path in folder.path.iterdir()} <= {
        ".gitignore",
        "state.json",
        "state.json.bak",
        "state.lock",
        "logs",
    }


def test_commands_killed_at_random_moments_lose_nothing(
    cluster: Cluster, project: Path, forks: Forks, heard: Heard
) -> None:
    folder = StateFolder(project / ".clinder")
    chance = random.Random(5)
    commands = [("up",), ("up", "--ref", "v2"), ("down",)]
    for ref in ("main", "v2", "main"):
        began = time.monotonic()
        assert forks.run("up", "--ref", ref).status == 0
        longest_s = time.monotonic() - began
    said: set[str] = set()
    kills = 0
    while kills < RANDOM_KILLS:
        ended = forks.run(*chance.choice(commands), kill_after_s=chance.uniform(0.001, longest_s))
        kills += ended.status == KILLED
        assert ended.status in (0, KILLED), ended.err
        said |= set(NEVER_FINISHED.findall(ended.err))
        cluster.settle()
        state = folder.read()
        assert not folder.is_locked()
        lost = cluster.running - named(state)
        assert len(lost) <= len(said) + (state.pending is not None), "a session was lost without a message"
    down(configured(project), RunContext(on_event=heard))
    said |= set(reported(heard))
    assert named(folder.read()) == set()
    assert len(cluster.running) <= len(said)
    assert_nothing_is_left_over(folder)
