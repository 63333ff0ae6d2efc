"""The end of the action: cancelled jobs, killed processes, lost sessions, and the post step."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from embedded import eventually
from hub.channels import silent
from hub.servers import TOKEN, Connection, JupyterSession, Server, event, stream
from runner.world import clinders, job, runner_temp

from clinder.config.settings import Timeouts
from clinder.github_action.keeping import Keeping
from clinder.model.session import Session
from clinder.run.watch import Pace

if TYPE_CHECKING:
    from runner.job import Job

__all__ = ["job", "runner_temp"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are a POSIX matter")
LAUNCHING = event("launching", "Launching server...\n")


class Gate:
    """A part of a hub's stream that waits until the test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, connection: Connection) -> None:
        connection.wait_until(self._open.is_set)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


def kill_all(job: Job) -> None:
    """Kill every process of the job's steps."""
    for process in clinders(job.temp):
        process.kill()


def test_a_job_cancelled_during_the_build_exits_immediately(job: Job, hub: Server) -> None:
    hub.handler = stream(event("building", "Step 1\n"), "hold")
    step = job.step(hub_url=hub.url, repo="org/name")
    main = step.start()
    step.await_output("Step 1", main)
    ran = step.cancel(main)
    assert ran.status == 130
    assert "no session was started" in ran.understood.shown
    assert ran.understood.annotations() == []
    assert "nothing to stop" in step.post().output


def test_a_job_cancelled_during_the_launch_still_stops_the_server(
    job: Job, session: JupyterSession, hub: Server, gate: Gate
) -> None:
    hub.handler = session.launch(gate)
    step = job.step(hub_url=hub.url, repo="org/name")
    main = step.start()
    step.await_output("Launching server", main)
    ran = step.cancel(main)
    assert ran.status == 143, "it does not wait for the end"
    post = step.start("post")
    eventually(lambda: "waiting for clinder up" in step.log("post"), "post waits for the launch")
    assert not session.was_shut_down
    gate.open()
    ran = step.finish(post, "post")
    step.is_over = True
    assert ran.status == 0
    assert session.was_shut_down
    assert TOKEN not in ran.output


def test_a_step_killed_during_the_launch_is_cleaned_up(
    job: Job, session: JupyterSession, hub: Server, gate: Gate
) -> None:
    hub.handler = session.launch(gate)
    step = job.step(hub_url=hub.url, repo="org/name")
    main = step.start()
    step.await_output("Launching server", main)
    main.kill()
    step.finish(main)
    gate.open()
    assert step.post().status == 0
    eventually(lambda: session.was_shut_down, "the session is stopped")


def test_a_step_killed_before_the_image_is_built_launches_nothing(job: Job, hub: Server) -> None:
    hub.handler = stream(event("building", "Step 1\n"), "hold")
    step = job.step(hub_url=hub.url, repo="org/name")
    main = step.start()
    step.await_output("Step 1", main)
    main.kill()
    step.finish(main)
    eventually(lambda: not clinders(job.temp), "the launch ends")
    post = step.post()
    assert post.status == 0
    assert "nothing to stop" in post.output


def test_a_session_is_stopped_if_its_step_was_killed_with_all_children(
    job: Job, session: JupyterSession, hub: Server
) -> None:
    session.kernel = silent
    step = job.step(hub_url=hub.url, repo="org/name")
    main = step.start()
    step.await_output("checking that a kernel starts", main)
    kill_all(job)
    step.finish(main)
    post = step.post()
    assert post.status == 0
    assert "stopped: " in post.output
    assert session.was_shut_down


def test_post_reports_a_possible_orphan_of_a_killed_launch(job: Job, hub: Server, gate: Gate) -> None:
    hub.handler = stream(event("built", "Built\n"), LAUNCHING, gate)
    step = job.step(hub_url=hub.url, repo="org/name")
    main = step.start()
    step.await_output("Launching server", main)
    kill_all(job)
    step.finish(main)
    post = step.post()
    assert post.status == 0
    (warning,) = post.understood.annotations("warning")
    assert "never" in warning.data


def test_a_job_cancelled_during_the_installation_ends_it(job: Job, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    fake = programs / "uv"
    note = tmp_path / "note"
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho $$ >"{note}"\nexec sleep 60\n')
    fake.chmod(0o755)
    job.temp = tmp_path / "fresh"
    job.temp.mkdir()
    job.more = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    step = job.step(repo="org/name")
    main = step.start()
    eventually(lambda: note.exists() and note.read_text().strip(), "the installation has started")
    ran = step.cancel(main)
    assert ran.status == 130
    assert ran.understood.annotations() == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
    assert "nothing to stop" in step.post().output


def test_post_stops_the_session_once_and_reports_it(job: Job, session: JupyterSession, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name")
    step.main()
    assert "stopped: " in step.post().output
    again = step.post()
    assert (again.status, again.output) == (0, "nothing to stop: no session was launched\n")
    assert len(session.asked(f"{session.base}api/shutdown", "POST")) == 1


def test_a_session_that_is_already_gone_does_not_fail_the_job(job: Job, session: JupyterSession, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name")
    step.main()
    session.mode = "424"
    post = step.post()
    assert post.status == 0
    assert "already gone: " in post.output
    assert post.understood.annotations("warning") == []


def test_a_session_that_cannot_be_stopped_is_a_warning(job: Job, session: JupyterSession, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name", timeouts_stop="1s")
    step.main()
    session.mode = "503"
    post = step.post()
    assert post.status == 0
    (warning,) = post.understood.annotations("warning")
    assert "cannot be stopped" in warning.data
    assert not Path(step.state["folder"]).exists(), "the token is removed"


def test_post_stops_the_session_despite_invalid_settings(job: Job, session: JupyterSession, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name")
    step.main()
    (job.workspace / "clinder.toml").write_text("hub = [\n")
    assert step.post().status == 0
    assert session.was_shut_down


def session_of(server: JupyterSession) -> Session:
    return Session(url=server.session_url, token=TOKEN)


def keep(
    folder: Path, server: JupyterSession, *, limit_s: float = 30, runner_pid: int = 0, check_s: float = 0.05
) -> str:
    keeping = Keeping(folder)
    keeping.mark.touch()
    pace = Pace(check_s=check_s, outage_s=30, keep_alive_s=0.1)
    limit = timedelta(seconds=limit_s)
    return keeping.keep(session_of(server), timeouts=Timeouts(), limit=limit, runner_pid=runner_pid, pace=pace)


def test_a_session_is_kept_active_until_keep_alive_for_elapses(tmp_path: Path, session: JupyterSession) -> None:
    assert keep(tmp_path, session, limit_s=1) == "keep-alive-for elapsed"
    assert len(session.asked(f"{session.base}api/kernels", "GET")) > 1


def test_keeping_alive_ends_with_the_session(tmp_path: Path, session: JupyterSession) -> None:
    session.mode = "404"
    assert keep(tmp_path, session).startswith("the session was lost: ")


def test_keeping_alive_ends_with_the_runner(tmp_path: Path, session: JupyterSession) -> None:
    runner = subprocess.Popen([sys.executable, "-c", ""])
    runner.wait()
    assert keep(tmp_path, session, runner_pid=runner.pid) == "the runner is gone"


def test_keeping_alive_ends_with_the_job(job: Job, session: JupyterSession, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name", keep_alive="true")
    step.main()
    (keeper,) = clinders(job.temp)
    assert keeper.ppid() != os.getpid()
    step.post()
    keeper.wait(10)
