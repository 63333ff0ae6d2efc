"""Many simultaneous commands in one folder."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from clinder.state import Pending, Process, State, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from hub.cluster import Cluster
    from hub.forks import Forks

AT_ONCE = 32
COMMANDS = [("up",), ("up", "--ref", "v2"), ("down",), ("status",), ("plan",)]
STATUSES = {"up": {0}, "down": {0}, "status": {0, 6}, "plan": {0}}
HOLDER = r"clinder (?:up|down) \(process (\d+) of \S+ on \S+, since [\d-]+ [\d:]+\)"
NOTE = re.compile(rf"waiting for (?:{HOLDER}|another clinder) to release ")
"""A holder has no name before it has written it down."""


def named(folder: StateFolder) -> set[str]:
    state = folder.read()
    return {session.url for session in (state.session, *state.retired) if session}


@pytest.mark.parametrize("seed", range(3))
def test_simultaneous_commands_run_one_at_a_time_and_lose_nothing(
    cluster: Cluster, project: Path, forks: Forks, seed: int
) -> None:
    folder = StateFolder(project / ".clinder")
    commands = random.Random(seed).choices(COMMANDS, k=AT_ONCE)
    ended = forks.run_at_once(commands)
    for command, item in zip(commands, ended, strict=True):
        assert item.status in STATUSES[command[0]], item.err
    cluster.settle()
    state = folder.read()
    assert named(folder) == cluster.running
    assert (state.pending, state.retired) == (None, ())
    assert not folder.is_locked()
    assert forks.run("down").status == 0
    assert cluster.running == set()


def test_a_waiting_command_names_the_holder_of_the_lock(project: Path, forks: Forks) -> None:
    ended = forks.run_at_once([("up",), ("down",)] * (AT_ONCE // 2))
    waiting = [line for item in ended for line in item.err.splitlines() if "waiting for" in line]
    assert len(waiting) > AT_ONCE // 4
    notes = [NOTE.match(line) for line in waiting]
    assert all(notes), waiting
    holders = {int(note[1]) for note in notes if note and note[1]}
    assert holders
    assert holders <= {item.pid for item in ended}


def test_an_expired_lock_timeout_exits_with_4(project: Path, forks: Forks) -> None:
    folder = StateFolder(project / ".clinder")
    with folder.locked("run", timeout_s=0, on_wait=lambda holder: None):
        ended = forks.run_at_once([("up", "--lock-timeout", "0.3s"), ("down", "--lock-timeout", "0"), ("plan",)])
    assert [item.status for item in ended] == [4, 4, 0]
    for item in ended[:2]:
        assert "is locked by clinder run (process " in item.err


def test_read_only_commands_do_not_block_others(cluster: Cluster, project: Path, forks: Forks) -> None:
    """A plan over an unfinished launch checks whether the lock is held; this check must not count as holding it."""
    left = Pending(hub=cluster.url, provider="gh", repo="org/name", ref="main", process=Process.current("up"))
    StateFolder(project / ".clinder").write(State(pending=left))
    ended = forks.run_at_once([("plan",)] * 8 + [("up", "--lock-timeout", "0")] + [("plan",)] * 8)
    assert [item.status for item in ended] == [0] * len(ended), [item.err for item in ended if item.status]
