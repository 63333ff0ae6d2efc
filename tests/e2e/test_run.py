"""`clinder run -- CMD`: exit status, folder, stdin and signals of the command, and the stop of the session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from books import started
from commands import CLINDER, clinder
from hub.servers import TOKEN, JupyterSession, Server, eventually, stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.servers import Connection, Request

pytestmark = pytest.mark.skipif(os.name == "nt", reason="process groups and signals are a POSIX matter")
LIMIT_S = 60.0
SHUTDOWN = "/user/x/api/shutdown"


def write_project(folder: Path, hub: Server) -> Path:
    folder.mkdir()
    (folder / "clinder.toml").write_text(
        f'hub = "{hub.url}"\nrepo = "org/name"\n[session]\nwarm = "off"\n[timeouts]\nstop = "5s"\n'
    )
    return folder


@pytest.fixture
def hub(session: JupyterSession) -> Iterator[Server]:
    """A hub that launches this session each time, even after it was lost."""

    def launch(request: Request, connection: Connection) -> None:
        session.mode = "running"
        session.launch()(request, connection)

    with Server(launch) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, hub: Server) -> Path:
    return write_project(tmp_path / "project", hub)


@dataclass(frozen=True)
class Kept:
    """A project with a running session."""

    folder: Path
    session: JupyterSession
    hub: Server


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A running session, for all tests that leave it running."""
    with JupyterSession() as session, Server(session.launch()) as hub:
        folder = write_project(tmp_path_factory.mktemp("kept") / "project", hub)
        clinder(folder, "up", "-q")
        yield Kept(folder, session, hub)


def python(code: str) -> list[str]:
    """Name a command that runs this code, unmeasured: some are killed while they end."""
    return [sys.executable, "-S", "-c", code]


def shutdowns(session: JupyterSession) -> int:
    return len(session.asked(SHUTDOWN, "POST"))


def launches(hub: Server) -> int:
    return len(hub.asked("/build/"))


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


@pytest.mark.parametrize(("code", "status"), [("pass", 0), ("raise SystemExit(1)", 1), ("raise SystemExit(77)", 77)])
def test_the_exit_status_is_that_of_the_command(kept: Kept, code: str, status: int) -> None:
    clinder(kept.folder, "run", "--", *python(code), expect=status)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_command_killed_by_a_signal_has_the_exit_status_of_shells(kept: Kept, number: int) -> None:
    clinder(kept.folder, "run", "--", *python(f"import os; os.kill(os.getpid(), {number})"), expect=128 + number)


def test_the_exit_status_is_kept_with_sigchld_ignored(kept: Kept) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [*python(ignoring), CLINDER, "run", "--", *python("raise SystemExit(3)")]
    assert subprocess.run(command, cwd=kept.folder, check=False, timeout=LIMIT_S).returncode == 3


def test_the_command_gets_url_and_token_but_no_other_secrets(
    kept: Kept,
) -> None:
    secret = {"CLINDER_BUILD_TOKEN": "build-secret", "CLINDER_SESSION": "https://host/?token=other", "MINE": "kept"}
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = clinder(kept.folder, "run", "--", *python(code), env={**os.environ, **secret}).document
    assert seen["JUPYTER_BASE_URL"] == kept.session.session_url.rstrip("/")
    assert seen["JUPYTER_TOKEN"] == TOKEN
    assert seen["MINE"] == "kept"
    assert not secret.keys() - {"MINE"} & seen.keys()


def test_the_command_inherits_folder_and_stdin(kept: Kept) -> None:
    inner = kept.folder / "inner"
    inner.mkdir()
    code = "import os, sys; print(os.getcwd(), sys.stdin.read())"
    assert clinder(inner, "run", "-q", "--", *python(code), stdin="from here").stdout == f"{inner} from here\n"


def test_only_the_command_writes_to_stdout(project: Path) -> None:
    assert clinder(project, "run", "--", "echo", "--json", "-v").stdout == "--json -v\n"


def test_options_after_the_command_belong_to_it_even_without_dashes(kept: Kept) -> None:
    assert clinder(kept.folder, "run", "-q", "echo", "--keep", "--help").stdout == "--keep --help\n"


@pytest.mark.parametrize("arguments", [[], ["--"]])
def test_a_missing_command_is_a_usage_error(project: Path, hub: Server, arguments: list[str]) -> None:
    clinder(project, "run", *arguments, expect=2)
    assert launches(hub) == 0


@pytest.mark.parametrize(
    ("command", "status"), [("no-such-command", 127), ("./no-such-file", 127), ("./notes.txt", 126), ("./inner", 126)]
)
def test_a_command_that_cannot_be_started_is_reported_before_the_launch(
    project: Path, hub: Server, command: str, status: int
) -> None:
    (project / "notes.txt").write_text("no program")
    (project / "inner").mkdir()
    assert command in clinder(project, "run", "--", command, expect=status).stderr
    assert launches(hub) == 0


def test_a_command_with_a_missing_interpreter_is_126_and_stops_the_session(
    project: Path, session: JupyterSession
) -> None:
    (project / "broken").write_text("#!/no/such/interpreter\n")
    (project / "broken").chmod(0o755)
    clinder(project, "run", "--", "./broken", expect=126)
    assert shutdowns(session) == 1


@pytest.mark.parametrize("code", ["pass", "raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)"])
def test_a_session_launched_by_run_is_stopped_once_and_forgotten(
    project: Path, session: JupyterSession, hub: Server, code: str
) -> None:
    clinder(project, "run", "--", *python(code), expect=None)
    assert (launches(hub), shutdowns(session)) == (1, 1)
    assert clinder(project, "status", "--json", expect=6).document["state"] == "none"


def test_a_session_that_was_already_running_is_kept(kept: Kept) -> None:
    clinder(kept.folder, "run", "--", "true")
    clinder(kept.folder, "run", "--", "false", expect=1)
    assert (launches(kept.hub), shutdowns(kept.session)) == (1, 0)


def test_keep_leaves_the_launched_session_running(project: Path, session: JupyterSession) -> None:
    clinder(project, "run", "--keep", "--", "true")
    assert shutdowns(session) == 0
    assert clinder(project, "status", "--json").document["state"] == "running"


def test_replace_launches_a_new_session(tmp_path: Path) -> None:
    with JupyterSession("x") as first, JupyterSession("y") as second, Server(first.launch()) as hub:
        options = ("--hub", hub.url, "--repo", "org/name", "--session-warm", "off")
        clinder(tmp_path, "up", *options)
        hub.handler = second.launch()
        code = "import os; print(os.environ['JUPYTER_BASE_URL'])"
        done = clinder(tmp_path, "run", *options, "--replace", "--", *python(code))
        assert done.stdout == second.session_url.rstrip("/") + "\n"
        assert first.was_shut_down
        assert second.was_shut_down
    assert clinder(tmp_path, "status", "--json", expect=6).document["state"] == "none"


def test_fresh_is_a_deprecated_alias_of_replace(project: Path, hub: Server, session: JupyterSession) -> None:
    clinder(project, "up", "-q")
    done = clinder(project, "run", "--fresh", "--", "true")
    assert "warning: --fresh is deprecated: use --replace" in done.stderr
    assert launches(hub) == 2


def test_the_command_is_not_run_if_the_launch_fails(project: Path, hub: Server) -> None:
    hub.handler = lambda _request, connection: connection.html(404)
    done = clinder(project, "run", "--", "touch", "ran", expect=None)
    assert done.status == 8
    assert not (project / "ran").exists()


def test_a_failed_stop_keeps_the_status_and_the_record(project: Path, session: JupyterSession) -> None:
    session.overrides[("POST", "api/shutdown")] = lambda _request, connection: connection.html(503)
    (project / "clinder.toml").write_text((project / "clinder.toml").read_text().replace("5s", "1s"))
    done = clinder(project, "run", "--", *python("raise SystemExit(9)"), expect=9)
    assert "run `clinder down` to try again" in done.stderr
    retired = clinder(project, "state", "show", "--json").document["retired"]
    assert [item["url"] for item in retired] == [session.session_url]


TRAP = """
import signal, sys, time
number = signal.{name}
def on(number, frame):
    print("got it", flush=True)
    raise SystemExit({status})
signal.signal(number, on)
print("ready", flush=True)
time.sleep({limit})
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_forwarded_and_the_session_stopped(project: Path, session: JupyterSession, name: str) -> None:
    with started(
        project, "run", "--", *python(f"print('ready', flush=True); import time; time.sleep({LIMIT_S})")
    ) as run:
        wait_for(run, "ready")
        run.send_signal(getattr(signal, name))
        run.communicate(timeout=LIMIT_S)
    assert run.returncode == 128 + getattr(signal, name)
    assert shutdowns(session) == 1


def test_a_command_may_handle_a_signal_itself(kept: Kept) -> None:
    with started(kept.folder, "run", "--", *python(TRAP.format(name="SIGTERM", status=42, limit=LIMIT_S))) as run:
        wait_for(run, "ready")
        run.send_signal(signal.SIGTERM)
        wait_for(run, "got it")
        run.communicate(timeout=LIMIT_S)
    assert run.returncode == 42


def test_a_second_signal_kills_a_command_that_keeps_running(project: Path, session: JupyterSession) -> None:
    code = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep({LIMIT_S})"])
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""
    with started(project, "run", "--", *python(code)) as run:
        wait_for(run, "ready")
        run.send_signal(signal.SIGTERM)
        wait_for(run, "no")
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=LIMIT_S)  # until all holders of stdout have exited, including the grandchild
    assert run.returncode == 128 + signal.SIGKILL
    assert shutdowns(session) == 1


def test_a_signal_during_the_launch_ends_the_run_before_the_command(project: Path, hub: Server) -> None:
    hub.handler = stream("hold")
    with started(project, "run", "--", "touch", "ran") as run:
        eventually(lambda: launches(hub), "the launch")
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 143, said
    assert not (project / "ran").exists()


def test_the_command_has_its_own_process_group(kept: Kept) -> None:
    code = "import os; print(os.getpid(), os.getpgrp(), os.getpgid(os.getppid()))"
    pid, own, parent = clinder(kept.folder, "run", "-q", "--", *python(code)).stdout.split()
    assert own == pid
    assert own != parent


WAIT = f"print('ready', flush=True); import time; time.sleep({LIMIT_S})"


def test_a_lost_session_ends_the_command_with_6(project: Path, session: JupyterSession) -> None:
    with started(project, "run", "--", *python(WAIT)) as run:
        wait_for(run, "ready")
        session.mode = "424"
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 6
    assert "clinder: the session was lost after " in said
    assert "the hub has no such server any more (HTTP 424)" in said
    assert clinder(project, "status", "--json", expect=6).document["state"] == "none"


def test_a_command_that_fails_because_its_session_is_gone_ends_with_6(project: Path, session: JupyterSession) -> None:
    code = "print('ready', flush=True); open('go').read(); raise SystemExit(1)"
    os.mkfifo(project / "go")
    with started(project, "run", "--", *python(code)) as run:
        wait_for(run, "ready")
        session.mode = "404"
        (project / "go").write_text("on")
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 6
    assert "the session was lost" in said


def test_retry_launches_again_and_runs_the_command_again(project: Path, session: JupyterSession, hub: Server) -> None:
    code = (
        "import pathlib, time; tries = pathlib.Path('tries'); tries.open('a').write('x'); print('ready', flush=True)\n"
    )
    code += f"time.sleep({LIMIT_S} if tries.read_text() == 'x' else 0)"
    with started(project, "run", "--retry", "2", "--", *python(code)) as run:
        wait_for(run, "ready")
        session.mode = "404"
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, said
    assert (project / "tries").read_text() == "xx"
    assert launches(hub) == 2
    assert "; launching again" in said
    assert shutdowns(session) == 1


def test_a_loss_after_the_last_retry_ends_with_6(project: Path, session: JupyterSession, hub: Server) -> None:
    with started(project, "run", "--retry", "1", "--", *python(WAIT)) as run:
        for _ in range(2):
            wait_for(run, "ready")
            session.mode = "404"
        run.communicate(timeout=LIMIT_S)
    assert run.returncode == 6
    assert launches(hub) == 2


def test_ctrl_c_during_a_loss_ends_the_run(project: Path, session: JupyterSession, hub: Server) -> None:
    with started(project, "run", "--retry", "3", "--", *python(WAIT)) as run:
        wait_for(run, "ready")
        session.mode = "404"
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 130, said
    assert launches(hub) == 1


def test_a_loss_after_ctrl_c_ends_with_6_and_is_not_retried(
    project: Path, session: JupyterSession, hub: Server
) -> None:
    code = f"import signal; signal.signal(signal.SIGINT, lambda *_: print('no', flush=True)); {WAIT}"
    with started(project, "run", "--retry", "3", "--", *python(code)) as run:
        wait_for(run, "ready")
        run.send_signal(signal.SIGINT)
        wait_for(run, "no")
        session.mode = "404"
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 6, said
    assert launches(hub) == 1


def test_ctrl_c_after_a_loss_prevents_another_launch(project: Path, session: JupyterSession, hub: Server) -> None:
    ended = project / "ended"
    code = (
        "import pathlib, signal, sys\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path('ended').touch())); {WAIT}"
    )
    looks: list[bool] = []

    def gone(_request: Request, connection: Connection) -> None:
        looks.append(ended.exists())
        connection.wait(1 if ended.exists() else 0)
        connection.html(404)

    with started(project, "run", "--retry", "3", "--", *python(code)) as run:
        wait_for(run, "ready")
        session.overrides["GET", "*"] = gone
        eventually(lambda: any(looks), "the lost session is released")
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 130, said
    assert launches(hub) == 1


def test_a_failing_command_is_not_retried(project: Path, hub: Server) -> None:
    clinder(project, "run", "--retry", "3", "--", "false", expect=1)
    assert launches(hub) == 1
