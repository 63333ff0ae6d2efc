"""The official JavaScript client, `@jupyterhub/binderhub-client`, launches through `hub serve`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from embedded import LIMIT_S, Session, cache, checkout, cloned
from hub_process import HubProcess, serving
from tools import npm_package

__all__ = ["cache"]

CLIENT = "@jupyterhub/binderhub-client@0.5.0"
LAUNCH = Path(__file__).parent / "javascript" / "launch.mjs"


@pytest.fixture(scope="module")
def modules() -> Path:
    """The folder that the client is installed in."""
    return npm_package(CLIENT).parent


def launch(modules: Path, hub: HubProcess, spec: str, *token: str) -> list[dict[str, Any]]:
    command = ["node", str(LAUNCH), str(modules), f"{hub.url}/build", spec, *token]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_the_client_gets_a_working_session(modules: Path, tmp_path: Path) -> None:
    repository = checkout(tmp_path / "cookbook")
    with serving(linger_s=5.0, build_token="a-token") as hub:
        for _ in range(2):
            events = launch(modules, hub, cloned(repository).build_path, "a-token")
            assert events[-1]["phase"] == "ready", events
            session = Session(events[-1]["url"], events[-1]["token"])
            assert session.get("api/status").json()["kernels"] == 0
    assert events[0]["phase"] == "built", "the image was not found the second time"


def test_the_client_receives_failures(modules: Path, tmp_path: Path) -> None:
    repository = checkout(tmp_path / "cookbook", requirements__txt="./there-is-no-such-folder\n")
    with serving() as hub:
        (refused,) = launch(modules, hub, "gh/org/repo")
        assert "Did you mean" in refused["message"]
        events = launch(modules, hub, cloned(repository).build_path)
    assert events[-1]["phase"] == "failed"
