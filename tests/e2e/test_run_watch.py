"""Watching a session while a command runs: losses, short outages and keep-alive."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hub.servers import TOKEN, JupyterSession, eventually

from clinder.config.settings import Timeouts
from clinder.model.session import Session
from clinder.run.watch import Pace, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

PACE = Pace(check_s=0.02, outage_s=0.5, keep_alive_s=0.1)
KERNELS = "/user/x/api/kernels"
STATUS = "/user/x/api/status"


@pytest.fixture
def server() -> Iterator[JupyterSession]:
    with JupyterSession() as running:
        running.overrides[("GET", "api/kernels")] = lambda _request, connection: connection.json(200, [])
        yield running


def watching(server: JupyterSession, *, keeps_alive: bool = True, pace: Pace = PACE) -> Watch:
    return Watch(Session(url=server.session_url, token=TOKEN), timeouts=Timeouts(), keeps_alive=keeps_alive, pace=pace)


def test_activity_is_reported_repeatedly(server: JupyterSession) -> None:
    with watching(server) as watch:
        eventually(lambda: len(server.asked(KERNELS, "GET")) >= 3, "three reports of activity")
    assert watch.loss is None
    assert {request.headers["authorization"] for request in server.requests} == {f"token {TOKEN}"}


def test_no_activity_is_reported_without_keep_alive(server: JupyterSession) -> None:
    with watching(server, keeps_alive=False):
        eventually(lambda: len(server.asked(STATUS)) >= 20, "twenty checks")
    assert server.asked(KERNELS) == []


def test_the_watch_ends_with_the_command(server: JupyterSession) -> None:
    with watching(server):
        eventually(lambda: server.asked(KERNELS), "a report of activity")
    assert "clinder-watch" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("death", ["302", "404", "424", "403 HTML"])
def test_a_session_that_is_gone_is_lost_immediately(server: JupyterSession, death: str) -> None:
    with watching(server, pace=Pace(check_s=0.02, outage_s=3600)) as watch:
        server.mode = death
        eventually(lambda: watch.loss, "the loss is noticed")
    assert watch.loss
    assert "no such server any more" in watch.loss.reason


def await_looks(server: JupyterSession) -> None:
    seen = len(server.requests)
    eventually(lambda: len(server.requests) > seen + 3, "some checks")


@pytest.mark.parametrize("outage", ["503", "cut", "reset", "500"])
def test_only_a_long_outage_is_a_loss(server: JupyterSession, outage: str) -> None:
    with watching(server, pace=Pace(check_s=0.02, outage_s=60)) as watch:
        for _ in range(2):
            server.mode = outage
            await_looks(server)
            server.mode = "running"
            await_looks(server)
        assert watch.loss is None
    server.mode = outage
    with watching(server) as watch:
        eventually(lambda: watch.loss, "the loss is noticed")
    assert watch.loss
    assert watch.loss.reason
