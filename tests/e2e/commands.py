"""Running the installed `clinder` like a user, and executing code in a session's kernel."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import websocket

if TYPE_CHECKING:
    from collections.abc import Mapping

CLINDER = str(Path(sys.executable).parent / "clinder")
LIMIT_S = 120.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def clinder(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    expect: int | None = 0,
    limit_s: float = LIMIT_S,
) -> Done:
    """Run `clinder` in a folder until it ends, and check its exit status (`None`: any)."""
    ended = subprocess.run(
        [CLINDER, *arguments],
        cwd=folder,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    assert "Traceback" not in done.stderr
    assert expect in (None, done.status), f"{arguments}: {done}"
    return done


def execute(url: str, token: str, code: str) -> str:
    """Execute code in a new kernel of a session over its WebSocket, and return the output."""
    headers = {"Authorization": f"token {token}"}
    started = requests.post(f"{url}api/kernels", headers=headers, timeout=LIMIT_S)
    started.raise_for_status()
    kernel = started.json()["id"]
    channels = f"{url}api/kernels/{kernel}/channels".replace("http://", "ws://")
    connection = websocket.create_connection(channels, header=headers, timeout=LIMIT_S)
    try:
        identifier = uuid.uuid4().hex
        header = {"msg_id": identifier, "msg_type": "execute_request", "username": "", "session": identifier}
        header |= {"version": "5.3", "date": "2026-01-01T00:00:00Z"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        connection.send(json.dumps(message))
        return _printed(connection, identifier)
    finally:
        connection.close()
        requests.delete(f"{url}api/kernels/{kernel}", headers=headers, timeout=LIMIT_S)


def _printed(connection: websocket.WebSocket, identifier: str) -> str:
    printed = ""
    while True:
        message = json.loads(connection.recv())
        if message["parent_header"].get("msg_id") != identifier:
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        elif message["msg_type"] == "error":
            raise AssertionError(message["content"])
        elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return printed
