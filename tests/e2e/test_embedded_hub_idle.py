"""A session of the embedded hub that nobody uses ends by itself, whatever was left open in it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import websocket
from embedded import LIMIT_S, Session, cache, eventually, launched, local, processes_of

from clinder.localhub import server
from clinder.localhub.sessions import is_alive, stop

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cache"]

IDLE_S = 3
LOOK_S = 60.0
"""How often a Jupyter Server looks whether it is idle: fixed."""


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(server, "_IDLE_S", IDLE_S)
    (tmp_path / "book").mkdir()
    return launched(local(tmp_path / "book"))[1]


def connected(session: Session, kernel: str) -> websocket.WebSocket:
    address = f"{session.url}api/kernels/{kernel}/channels".replace("http://", "ws://")
    header = [f"Authorization: token {session.token}"]
    return websocket.create_connection(address, header=header, timeout=LIMIT_S)


def test_an_idle_session_ends_though_a_kernel_and_a_terminal_are_open(session: Session, cache: Path) -> None:
    kernel = session.post("api/kernels").json()["id"]
    open_tab = connected(session, kernel)
    assert session.post("api/terminals").status_code == 200
    eventually(lambda: is_alive(session.url) is False, "the session has ended", LOOK_S + IDLE_S + LIMIT_S)
    open_tab.close()
    eventually(lambda: not processes_of(cache), "with all that it has started")


def test_a_kernel_that_computes_is_not_idle(session: Session) -> None:
    kernel = session.post("api/kernels").json()["id"]
    channels = connected(session, kernel)
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1", "version": "5.3"}
    content = {"code": f"import time; time.sleep({3 * IDLE_S})", "silent": False, "store_history": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channels.send(json.dumps(message))
    until = time.monotonic() + 2 * IDLE_S
    eventually(lambda: session.get(f"api/kernels/{kernel}").json().get("execution_state") == "busy", "it computes")
    while time.monotonic() < until:
        assert session.get(f"api/kernels/{kernel}").status_code == 200
        time.sleep(0.2)
    eventually(lambda: session.get(f"api/kernels/{kernel}").status_code == 404, "it is closed when it is idle")
    channels.close()
    assert stop(session.url, 10)
