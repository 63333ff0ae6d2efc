"""The embedded hub sends keepalives, reports waits, and ends promptly when it is asked to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from commands import CLINDER, clinder
from embedded import LIMIT_S, cache, checkout, cloned, eventually, git, local, processes_of, run_python
from hub_process import serving
from pace import assert_took_under

from clinder.hubs.embedded import EmbeddedHub
from clinder.localhub import processes
from clinder.localhub.cache import Cache
from clinder.localhub.locks import lock_of
from clinder.localhub.processes import Children
from clinder.localhub.repositories import Remote, Repository
from clinder.localhub.source import Tree
from clinder.model.events import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clinder.hubs.event_stream import EventStream
    from clinder.model.repository import RepositorySpec

__all__ = ["cache"]

BUILD = """
import sys
from clinder.localhub.hub import LocalHub
from clinder.model.repository import RepositorySpec
for event in LocalHub(installer=sys.argv[2]).events(RepositorySpec("local", sys.argv[1])):
    pass
"""
SOON_S = 5.0
"""Less than the time limit for stopping a server during its start."""
WAITS = "Another process fetches the same repository: waiting for it."


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return checkout(tmp_path / "cookbook", where__txt="main\n")


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that makes a repository whose environment is built by a given shell script."""

    def make(script: str) -> Path:
        tools = tmp_path / "tools"
        tools.mkdir()
        tool = tools / "mamba"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        return checkout(tmp_path / "built", environment__yml="dependencies: [python]\n")

    return make


@pytest.fixture
def held(repository: Path, cache: Path) -> Iterator[RepositorySpec]:
    """A spec whose repository is being fetched by another launch for the duration of the test."""
    spec = cloned(repository)
    folder = Repository(Remote.of(spec), Cache(cache), Children()).checkout("HEAD").parent
    with lock_of(folder):
        yield spec


@contextmanager
def starting(folder: Path, *arguments: str, until: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `clinder start` on the embedded hub until it prints these words; its output goes to `said.txt`."""
    said = folder.parent / "said.txt"
    with said.open("wb") as file:
        process = subprocess.Popen([CLINDER, "start", *arguments, "--hub", "local"], cwd=folder, stderr=file)
    try:
        eventually(lambda: until in said.read_text(), until)
        yield process
    finally:
        process.kill()
        process.wait()


def read_until(stream: EventStream, words: str) -> None:
    said = ""
    while words not in said:
        events = stream.receive(LIMIT_S)
        assert events is not None, said
        said += "".join(event.message for event in events)


def test_a_quiet_build_does_not_exceed_the_silence_timeout(builder: Callable[[str], Path]) -> None:
    folder = builder("sleep 1.5; echo done at last; exit 1")
    done = clinder(folder, "start", ".", "--hub", "local", "--timeouts-silence", "0.4s", expect=5)
    assert "done at last" in done.stderr


@pytest.mark.parametrize("is_abbreviated", [False, True], ids=["the fetch", "the ref"])
def test_a_wait_for_a_repository_is_reported_and_can_be_interrupted(
    held: RepositorySpec, repository: Path, tmp_path: Path, is_abbreviated: bool
) -> None:
    ref = git(repository, "rev-parse", "HEAD")[:8] if is_abbreviated else "main"
    with starting(repository, f"git:{held.repo}", "--ref", ref, until=WAITS) as process:
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert process.wait(LIMIT_S) == 130
        assert_took_under(time.monotonic() - began, SOON_S)
    assert "no session was started" in (tmp_path / "said.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_hub_serve_ends_while_a_launch_waits_for_a_repository(held: RepositorySpec, number: int) -> None:
    with serving() as hub:
        hub.build(held).until(Phase.FETCHING, WAITS)
        started = time.monotonic()
        assert hub.end(number) == 0
        assert_took_under(time.monotonic() - started, SOON_S)


def test_a_repository_is_fetched_as_soon_as_its_lock_is_free(repository: Path, cache: Path) -> None:
    spec = cloned(repository)
    commit = git(repository, "rev-parse", "HEAD")
    kept = Repository(Remote.of(spec), Cache(cache), Children())
    with lock_of(kept.checkout(commit).parent):
        lines = kept.fetch(commit)
        assert next(lines) == f"{WAITS}\n"
    assert WAITS not in "".join(lines)
    assert (kept.checkout(commit) / "where.txt").is_file()


STUBBORN = {
    "ignores SIGTERM": "trap '' TERM; echo building; while true; do sleep 0.1; done",
    "ends, but not its child": "(trap '' TERM; echo building; while true; do sleep 0.1; done) & wait",
    "closes its output": "trap '' TERM; echo building; exec >&- 2>&-; while true; do sleep 0.1; done",
}


@pytest.mark.parametrize("kind", STUBBORN)
def test_a_build_that_ignores_sigterm_is_killed_with_its_children(
    builder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(processes, "_GRACE_S", 0.3)
    spec = local(builder(STUBBORN[kind]))
    stream = EmbeddedHub().launch(spec)
    with stream:
        read_until(stream, "building")
    assert not processes_of(tmp_path / "tools")
    assert not stream._thread.is_alive()


def test_an_interrupted_start_leaves_no_build_that_ignores_sigterm(
    builder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = builder(STUBBORN["ignores SIGTERM"])
    with starting(folder, ".", until="building") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not processes_of(tmp_path / "tools")


@pytest.mark.parametrize("kind", [*STUBBORN, "runs"])
def test_a_build_ends_when_clinder_is_killed(builder: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    folder = builder((STUBBORN | {"runs": "echo building; sleep 600"})[kind].replace("building", "it has begun"))
    with starting(folder, ".", until="it has begun") as process:
        assert processes_of(tmp_path / "tools")
        process.kill()
    eventually(lambda: not processes_of(tmp_path / "tools"), "the build has ended", 10)


def test_what_is_left_of_a_killed_build_is_ended_before_the_next_one_begins(
    builder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whoever kills clinder may kill what would end the build, too. A zombie has no arguments."""
    pid = tmp_path / "pid"
    is_there = f'grep -q sleep "/proc/$(cat {pid})/cmdline"'
    folder = builder(f"{is_there} && echo overlapping; echo $$ > {pid}; echo it has begun; exec sleep 600")
    with starting(folder, ".", until="it has begun") as process:
        psutil.Process(int(pid.read_text())).parent().kill()
        process.kill()
    assert psutil.Process(int(pid.read_text())).status() == psutil.STATUS_SLEEPING, "the build goes on"
    with starting(folder, ".", until="it has begun") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "overlapping" not in (tmp_path / "said.txt").read_text()
    eventually(lambda: not processes_of(tmp_path), "both have ended")


BACKEND = """
import pathlib, subprocess, sys, time
def build_wheel(*_):
    pathlib.Path({mark!r}).touch()
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
build_editable = prepare_metadata_for_build_wheel = build_wheel
"""
PROJECT = """
[project]
name = "book"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_the_code_of_a_repository_that_is_being_built_ends_when_clinder_is_killed(
    tmp_path: Path, cache: Path, installer: str
) -> None:
    mark = tmp_path / "building"
    folder = checkout(tmp_path / "book", pyproject__toml=PROJECT, backend__py=BACKEND.format(mark=str(mark)))
    process = run_python(BUILD, str(folder), installer)
    eventually(mark.exists, "the repository's code runs")
    assert len(processes_of(cache)) > 2
    process.kill()
    process.communicate()
    eventually(lambda: not processes_of(cache), "installer and code have ended", 10)


def test_a_question_of_git_ends_when_clinder_is_killed(repository: Path, cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/book"
        process = subprocess.Popen([CLINDER, "start", url, "--hub", "local", "--quiet"], cwd=repository)
        eventually(lambda: asking(url), "git asks")
        process.kill()
        process.wait()
        eventually(lambda: not asking(url), "git has ended", 10)


def asking(url: str) -> list[psutil.Process]:
    """The processes with this URL in their arguments, less clinder itself."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            arguments = process.cmdline()
            if url in arguments and "start" not in arguments:
                found.append(process)
    return found


PYTHON = """
import sys, time
import clinder
if sys.argv[1] == "launch":
    print(clinder.launch(".", hub="local", settings={"session.warm": "off"}).uri, flush=True)
else:
    with clinder.session(".", hub="local", settings={"session.warm": "off"}) as session:
        print(session.uri, flush=True)
        time.sleep(600)
"""


def test_a_session_of_a_with_block_ends_when_python_is_killed_and_a_launched_one_does_not(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    process = run_python(PYTHON, "session")
    assert process.stdout is not None
    assert "?token=" in process.stdout.readline()
    process.kill()
    process.communicate()
    eventually(lambda: not processes_of(cache), "the session has ended")
    uri, _ = run_python(PYTHON, "launch").communicate()
    time.sleep(0.5)  # longer than the other took to end
    clinder(repository, "stop", uri.strip())
    eventually(lambda: not processes_of(cache), "the session was stopped")


def test_a_detached_process_that_holds_the_output_does_not_block_the_build(
    builder: Callable[[str], Path], tmp_path: Path
) -> None:
    stream = EmbeddedHub().launch(local(builder("echo building; setsid sleep 600 & wait")))
    with stream:
        read_until(stream, "building")
        eventually(
            lambda: any("sleep" in each.cmdline() for each in processes_of(tmp_path)), "the detached process is running"
        )
        started = time.monotonic()
    assert_took_under(time.monotonic() - started, SOON_S)
    assert not stream._thread.is_alive()
    for process in processes_of(tmp_path):
        process.kill()
        eventually(lambda process=process: not process.is_running() or process.status() == "zombie", "it is gone")  # type: ignore[misc]


def test_closing_the_hub_ends_the_copy_of_a_commit(repository: Path, tmp_path: Path) -> None:
    children = Children()
    children.close()
    with pytest.raises(processes.ClosedError):
        Tree(repository, "c0ffee").copy_to(tmp_path / "copy", children, tmp_path / "cache")
    assert not (tmp_path / "copy" / "where.txt").exists()


def test_closing_the_hub_ends_the_listing_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    children = Children()
    files = Tree(tmp_path).files(children, tmp_path / "cache")
    assert next(files).name == "a.txt"
    children.close()
    with pytest.raises(processes.ClosedError):
        next(files)


def test_a_hub_that_is_closed_before_the_launch_does_not_start_it(repository: Path) -> None:
    hub = EmbeddedHub()
    events = hub._hub.events(cloned(repository))
    hub._hub.close()
    (event,) = events
    assert event.message == "The embedded hub was closed.\n"
