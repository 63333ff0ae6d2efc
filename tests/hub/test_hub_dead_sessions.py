"""`up`, `status` and `down` with a recorded session that answers in any observed way, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pace import assert_took_under

from clinder.config.loading import Config
from clinder.model.errors import ClinderError
from clinder.model.session import Session
from clinder.operations.lifecycle import down, up
from clinder.operations.results import DownAction
from clinder.state import State, StateFolder
from hub.servers import DEATHS, Connection, Handler, JupyterSession, Request, Server, in_turn, refused_url

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.operations.context import RunContext
    from hub.cluster import Cluster
    from hub.forks import Ended, Forks

Configure = Callable[..., Config]
GONE = ["302", "404", "424", "403 HTML"]
UNREACHABLE = ["503", "500", "200 HTML", "200 list", "cut", "reset", "silence"]
TOKEN_REFUSED = "403 JSON"


def test_every_kind_of_answer_is_in_one_of_these_lists() -> None:
    assert set(DEATHS) == {*GONE, *UNREACHABLE, TOKEN_REFUSED}


@pytest.fixture
def brought_up(project: Path, forks: Forks) -> Path:
    """A project folder with a recorded session."""
    assert forks.run("up").status == 0
    return project


@contextmanager
def short_timeouts(project: Path) -> Iterator[None]:
    """Shorten the timeouts for answers that cannot arrive."""
    file = project / "clinder.toml"
    patient = file.read_text()
    file.write_text(patient.replace('connect = "5s"', 'connect = "0.5s"').replace('stop = "5s"', 'stop = "0.4s"'))
    try:
        yield
    finally:
        file.write_text(patient)


def spoil(cluster: Cluster, mode: str) -> str:
    """Make the only session answer like this, and return its URL."""
    (known,) = cluster.sessions.values()
    known.mode = mode
    return known.url


def state(project: Path) -> State:
    return StateFolder(project / ".clinder").read()


def urls(project: Path) -> tuple[str | None, list[str]]:
    found = state(project)
    return (found.session.url if found.session else None, [item.url for item in found.retired])


def seen(ended: Ended) -> str:
    said: str = json.loads(ended.out)["state"]
    return said


# Gone


@pytest.mark.parametrize("mode", GONE)
def test_a_gone_session_is_launched_again(cluster: Cluster, brought_up: Path, forks: Forks, mode: str) -> None:
    gone = spoil(cluster, mode)
    ended = forks.run("up")
    assert ended.status == 0, ended.err
    assert len(cluster.running) == 1
    assert urls(brought_up) == (next(iter(cluster.running)), [])
    assert gone not in cluster.running


@pytest.mark.parametrize("mode", GONE)
def test_a_gone_session_is_reported_as_gone(cluster: Cluster, brought_up: Path, forks: Forks, mode: str) -> None:
    gone = spoil(cluster, mode)
    ended = forks.run("status", "--json")
    assert (ended.status, seen(ended)) == (6, "gone")
    assert urls(brought_up) == (gone, []), "status changes nothing"


@pytest.mark.parametrize("mode", GONE)
def test_down_forgets_a_gone_session(cluster: Cluster, brought_up: Path, forks: Forks, mode: str) -> None:
    spoil(cluster, mode)
    ended = forks.run("down", "--json")
    assert (ended.status, json.loads(ended.out)["action"]) == (0, "already gone")
    assert urls(brought_up) == (None, [])


# Unreachable, which is not gone


@pytest.mark.parametrize("mode", [*UNREACHABLE, TOKEN_REFUSED])
def test_an_unreachable_session_is_neither_forgotten_nor_duplicated(
    cluster: Cluster, brought_up: Path, forks: Forks, mode: str
) -> None:
    kept = spoil(cluster, mode)
    began = time.monotonic()
    with short_timeouts(brought_up):
        ended = forks.run("up")
    assert ended.status == 8
    assert "so it may still be running" in ended.err
    assert_took_under(time.monotonic() - began, 5)
    assert len(cluster.sessions) == 1
    assert urls(brought_up) == (kept, [])


@pytest.mark.parametrize("mode", [*UNREACHABLE, TOKEN_REFUSED])
def test_an_unreachable_session_is_reported_as_unreachable(
    cluster: Cluster, brought_up: Path, forks: Forks, mode: str
) -> None:
    kept = spoil(cluster, mode)
    with short_timeouts(brought_up):
        ended = forks.run("status", "--json")
    assert (ended.status, seen(ended)) == (8, "unreachable")
    assert urls(brought_up) == (kept, [])


@pytest.mark.parametrize("mode", [*UNREACHABLE, TOKEN_REFUSED])
def test_an_unreachable_session_is_not_confirmed_stopped_and_down_can_be_repeated(
    cluster: Cluster, brought_up: Path, forks: Forks, mode: str
) -> None:
    kept = spoil(cluster, mode)
    began = time.monotonic()
    with short_timeouts(brought_up):
        ended = forks.run("down")
    assert ended.status in ((3, 8) if mode == TOKEN_REFUSED else (7, 8)), ended.err
    assert_took_under(time.monotonic() - began, 5)
    assert urls(brought_up) == (None, [kept])
    spoil(cluster, "running")
    assert forks.run("down").status == 0
    assert (urls(brought_up), cluster.running) == ((None, []), set())


def test_a_session_that_refuses_connections_is_unreachable(project: Path, forks: Forks) -> None:
    with refused_url() as url:
        folder = StateFolder(project / ".clinder")
        folder.prepare()

        folder.write(State(session=Session(url=f"{url}/user/x/", token="hunter2")))
        assert [forks.run(command).status for command in ("status", "up")] == [8, 8]
        assert state(project).session is not None


def test_a_hub_gets_time_to_notice_that_a_session_ended(cluster: Cluster, brought_up: Path, forks: Forks) -> None:
    spoil(cluster, "503")
    assert forks.run("up").status == 8
    spoil(cluster, "302")
    assert forks.run("up").status == 0
    assert len(cluster.running) == 1


def test_an_unreachable_session_does_not_block_stopping_retired_sessions(
    cluster: Cluster, brought_up: Path, forks: Forks
) -> None:
    folder = StateFolder(brought_up / ".clinder")
    kept = spoil(cluster, "503")
    old = cluster.add("v0")
    folder.write(replace(folder.read(), retired=(Session(url=old.url, token=old.token),)))
    assert forks.run("up").status == 8
    assert urls(brought_up) == (kept, [])
    assert old.url not in cluster.running


# Answers to a shutdown request


def shut_down(session: JupyterSession, answer: Handler, *, ends: bool) -> Handler:
    def handle(request: Request, connection: Connection) -> None:
        if ends:
            session.mode = "302"
        answer(request, connection)

    return handle


@pytest.mark.parametrize("answer", ["cut", "reset", "503", "500"])
def test_down_checks_the_session_and_ignores_the_answer_to_the_shutdown(
    session: JupyterSession, configure: Configure, context: RunContext, answer: str
) -> None:
    up(configure(), context)
    session.overrides["POST", "api/shutdown"] = shut_down(session, DEATHS[answer], ends=True)
    down(configure(), context)
    found = StateFolder(configure().state_dir).read()
    assert (found.session, found.retired) == (None, ())


@pytest.mark.parametrize("first", ["500", "503", "cut", "reset"])
def test_down_requests_a_shutdown_again_if_the_first_had_no_effect(
    session: JupyterSession, configure: Configure, context: RunContext, first: str
) -> None:
    up(configure(), context)
    session.overrides["POST", "api/shutdown"] = in_turn(
        shut_down(session, DEATHS[first], ends=False),
        shut_down(session, lambda _request, connection: connection.answer(200), ends=True),
    )
    assert down(configure(), context).action is DownAction.STOPPED
    assert len(session.asked(f"{session.base}api/shutdown", "POST")) == 2


@pytest.mark.parametrize("answer", ["200", "cut", "500"])
def test_a_session_that_ignores_its_shutdown_stays_recorded(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, answer: str
) -> None:
    up(configure(), context)
    says = DEATHS.get(answer, lambda _request, connection: connection.answer(200))
    session.overrides["POST", "api/shutdown"] = shut_down(session, says, ends=False)
    with pytest.raises(ClinderError) as caught:
        down(configure(timeouts__stop=0.4), context)
    assert caught.value.exit_status in (7, 8)
    found = StateFolder(configure().state_dir).read()
    assert [item.url for item in found.retired] == [session.session_url]
    del session.overrides["POST", "api/shutdown"]
    assert down(configure(), context).action is DownAction.STOPPED
    assert len(hub.requests) == 1
