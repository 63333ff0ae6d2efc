"""A stdout or stderr that is closed, full or no longer read: no session is lost, and the exit status is unchanged."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, clinder
from hub.commands import ONE_WISH_S, await_taken
from hub.servers import LIMIT_S, JupyterSession, Server, event, eventually, in_turn, stream
from pace import assert_took_under

from clinder.state import StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from hub.servers import Connection

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
NO_STDOUT = ("| true", ">&-", ">/dev/full", "| true 2>&1")
NO_STDERR = ("2>&-", "2>/dev/full", "2> >(true)")


@pytest.fixture
def project(tmp_path: Path, hub: Server) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "clinder.toml").write_text(
        f'hub = "{hub.url}"\nrepo = "org/name"\n[timeouts]\nstop = "2s"\n[session]\nwarm = "off"\n'
    )
    return folder


def shell(folder: Path, line: str) -> tuple[int, str, str]:
    """Run a line of bash; returns the exit status of its first command, and its output."""
    script = line.replace("clinder", f"'{CLINDER}'", 1) + "; exit ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def recorded(folder: Path) -> str:
    session = StateFolder(folder / ".clinder").read().session
    return session.url if session else ""


@pytest.mark.parametrize("where", NO_STDOUT)
@pytest.mark.parametrize("command", ["up", "up --json"])
def test_up_keeps_its_session_if_nobody_reads_the_url(
    project: Path, session: JupyterSession, command: str, where: str
) -> None:
    status, _, said = shell(project, f"clinder {command} {where}")
    assert recorded(project) == session.session_url
    assert not session.was_shut_down
    assert status == (0 if "|" in where else 1)
    assert ("the result could not be written" in said) == ("|" not in where)


@pytest.mark.parametrize("where", NO_STDOUT)
@pytest.mark.parametrize("command", ["start", "start --json", "start --format env"])
def test_start_stops_a_session_that_it_cannot_print(
    project: Path, session: JupyterSession, command: str, where: str
) -> None:
    status, _, said = shell(project, f"clinder {command} --config clinder.toml {where}")
    assert session.was_shut_down
    assert status == 1
    assert "the session could not be printed" in said
    assert "so it was stopped" in said


def test_start_reports_a_session_that_it_can_neither_print_nor_stop(project: Path, session: JupyterSession) -> None:
    session.overrides["POST", "api/shutdown"] = lambda _request, connection: connection.html(503)
    status, _, said = shell(project, "clinder start --config clinder.toml --timeouts-stop 300ms | true")
    assert status != 0
    assert f"The session was launched: {session.session_url}?token=" in said


@pytest.mark.parametrize("where", NO_STDERR)
def test_commands_work_without_a_stderr(project: Path, session: JupyterSession, where: str) -> None:
    assert shell(project, f"clinder up -vv {where}")[:2] == (0, f"{session.session_url}\n")
    assert shell(project, f"clinder status {where}")[0] == 0
    assert shell(project, f"clinder run {where} -- true")[0] == 0
    assert shell(project, f"clinder down {where}")[0] == 0
    assert session.was_shut_down
    assert recorded(project) == ""


@pytest.mark.parametrize("where", ["2>&- >&-", "2>&1 | true", "<&- >&- 2>&-", "&>/dev/full"])
def test_without_any_stream_the_session_is_recorded_and_can_be_stopped(
    project: Path, session: JupyterSession, where: str
) -> None:
    shell(project, f"clinder up {where}")
    assert recorded(project) == session.session_url
    assert clinder(project, "status", "--json").document["state"] == "running", "the state file was overwritten"
    shell(project, f"clinder down {where}")
    assert session.was_shut_down
    assert recorded(project) == ""


@pytest.mark.parametrize("where", ["| true", "2>&- | true", ">&-"])
def test_an_error_that_nobody_reads_keeps_its_exit_status(project: Path, hub: Server, where: str) -> None:
    hub.handler = stream(event("failed", "no such package\n"))
    assert shell(project, f"clinder up --json {where}")[0] == 5
    assert shell(project, f"clinder up {where}")[0] == 5


@pytest.mark.parametrize("command", ["status", "logs", "logs --timeline", "state show", "plan", "env", "--help"])
def test_a_reader_that_stops_early_gets_no_error(project: Path, command: str) -> None:
    clinder(project, "up", "-q")
    status, _, said = shell(project, f"clinder {command} | true")
    assert (status, said) == (0, "")


def test_a_reader_that_exits_during_a_launch_does_not_end_it(
    project: Path, session: JupyterSession, hub: Server
) -> None:
    lines = [event("building", f"Step {number}\n") for number in range(50)]

    def launch(_request: object, connection: Connection) -> None:
        stream(*[piece for line in lines for piece in (line, 0.02)], event("built", "ok\n"), session.ready())(
            _request,  # type: ignore[arg-type]
            connection,
        )

    hub.handler = launch
    status, _, _ = shell(project, "clinder up 2>&1 | head -3")
    assert status == 0
    assert recorded(project) == session.session_url


# Repeated interrupts


def test_a_third_ctrl_c_does_not_interrupt_the_exit(project: Path, session: JupyterSession) -> None:
    """The second one exits at once; what still has to be done then, such as recording the session, is done."""
    session.overrides["POST", "api/shutdown"] = lambda _request, connection: connection.hold()
    session.overrides["GET", "api/status"] = in_turn(lambda _request, connection: connection.hold())
    process = subprocess.Popen(
        [CLINDER, "up"],
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: session.asked(f"{session.base}api/status"), "the session is being verified")
    process.send_signal(signal.SIGINT)
    await_taken(process.pid, signal.SIGINT)
    time.sleep(ONE_WISH_S)
    for _ in range(30):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    began = time.monotonic()
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert_took_under(time.monotonic() - began, 3)
    state = StateFolder(project / ".clinder").read()
    assert [known.url for known in (state.session, *state.retired) if known] == [session.session_url], said
    assert session.session_url in said
