"""Launches on the embedded hub, killed with SIGKILL at every step: no server runs on that nobody can stop."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from clinder.state import StateFolder
from hub.forks import KILLED, Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT_S = 20.0
SETTLED_S = 0.3
"""Longer than a server takes to end once its launcher is gone (measured: 0.05 s)."""
QUICK_SERVER = """
import http.server, json, os, pathlib, signal

def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    config = pathlib.Path(os.environ["JUPYTER_CONFIG_DIR"], "jupyter_server_config.json")
    settings = json.loads(config.read_text())
    token, base = settings["IdentityProvider"]["token"], settings["ServerApp"]["base_url"]

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            if self.headers["Authorization"] != f"token {token}":
                self.send_error(403)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"last_activity": "2030-01-01T00:00:00Z", "kernels": 0, "connections": 0}')
            if self.path.endswith("api/shutdown"):
                os._exit(0)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}{base}"
    runtime = pathlib.Path(os.environ["JUPYTER_RUNTIME_DIR"])
    partial = runtime / "partial"
    partial.write_text(json.dumps({"url": url}))
    partial.rename(runtime / f"jpserver-{os.getpid()}.json")
    server.serve_forever()
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The embedded hub's folder, inside the project, where files that are opened count as steps."""
    stand_in = tmp_path / "modules" / "jupyter_server"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "serverapp.py").write_text(QUICK_SERVER)
    monkeypatch.setenv("PYTHONPATH", str(stand_in.parent))
    folder = tmp_path / "project" / "cache"
    monkeypatch.setenv("CLINDER_CACHE_DIR", str(folder))
    yield folder
    left = servers(folder)
    for process in left:
        process.kill()
    assert not left, "no server is left"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "book").mkdir(parents=True)
    (folder / "book" / "page.md").write_text("# A page")
    subprocess.run(["git", "init", "--quiet", str(folder / "book")], check=True)
    (folder / "clinder.toml").write_text('hub = "local"\nrepo = "./book"\nsession = { warm = "off" }\n')
    return folder


def started(cache: Path) -> dict[psutil.Process, list[str]]:
    """The processes that serve from this folder, and their arguments; a zombie has none."""
    found = {}
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
        except psutil.Error:
            continue
        if any(str(cache) in part for part in arguments):
            found[process] = arguments
    return found


def servers(cache: Path) -> list[psutil.Process]:
    return list(started(cache))


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def recorded(folder: StateFolder) -> set[str]:
    state = folder.read()
    return {session.url for session in (state.session, *state.retired) if session}


def running(cache: Path) -> set[str]:
    """The names of the sessions whose servers run."""
    return {part.rpartition("/")[2].removesuffix(".kept") for found in started(cache).values() for part in found[2:3]}


def names(urls: set[str]) -> set[str]:
    return {url.rstrip("/").rpartition("/")[2] for url in urls}


def test_up_killed_at_any_step_leaves_no_server_that_is_not_recorded(cache: Path, project: Path, forks: Forks) -> None:
    folder = StateFolder(project / ".clinder")
    for step in range(1, 1000):
        for path in (folder.path, cache):
            shutil.rmtree(path, ignore_errors=True)
        ended = forks.run("up", kill_at=step)
        known = names(recorded(folder))
        eventually(lambda known=known: running(cache) <= known, f"step {step}: a server runs that is not recorded")  # type: ignore[misc]
        if known:
            time.sleep(SETTLED_S)
            assert running(cache) == known, f"step {step}: a recorded session was ended"
        if step % 3 == 0 or ended.status == 0:
            again = forks.run("up")
            assert again.status == 0, again.err
            assert running(cache) == names(recorded(folder))
            assert {path.name for path in (cache / "sessions").iterdir()} == running(cache), "no folder is left"
        assert forks.run("down").status == 0
        eventually(lambda: not servers(cache), f"step {step}: `down` has ended all")
        if ended.status != KILLED:
            assert ended.status == 0, ended.err
            assert step > 60, "the command was not killed at every step"
            return
    raise AssertionError("it never ended by itself")


def test_start_killed_at_any_step_leaves_no_server_whose_token_was_not_printed(
    cache: Path, project: Path, forks: Forks
) -> None:
    for step in range(1, 1000):
        shutil.rmtree(cache, ignore_errors=True)
        ended = forks.run("start", "./book", "--hub", "local", "--session-warm", "off", kill_at=step)
        uri = re.search(r"http://\S+token=\S+", ended.out)
        if uri is None:
            eventually(lambda: not servers(cache), f"step {step}: a server runs that nobody has the token of")
        if ended.status != KILLED:
            assert uri is not None
            assert forks.run("stop", uri[0]).status == 0
            assert step > 30, "the command was not killed at every step"
            return
    raise AssertionError("it never ended by itself")


def test_a_server_that_does_not_end_with_its_launcher_is_ended_by_the_next_launch(
    cache: Path, project: Path, forks: Forks
) -> None:
    """Its launcher dies before it can note the process, and the server never gets to look at its pipe."""
    stuck = cache.parents[1] / "modules" / "sitecustomize.py"
    stuck.write_text("import sys, time\nif 'run_jupyter_server' in ' '.join(sys.orig_argv): time.sleep(600)\n")
    ended = forks.run("up", kill_after_s=1.5)
    assert ended.status == KILLED
    (left,) = servers(cache)
    (record,) = (cache / "servers").glob("*.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"server": None}))
    stuck.unlink()
    assert forks.run("up").status == 0
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    assert len(servers(cache)) == 1
    assert not record.exists()
    assert forks.run("down").status == 0
