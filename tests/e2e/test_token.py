"""The token is only in the state, and in nothing else that clinder leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from books import started
from commands import Done, clinder
from hub.servers import JupyterSession, Server, event, eventually, stream

import clinder as api
from clinder.config.loading import load_config
from clinder.model.errors import ClinderError
from clinder.operations.context import RunContext
from clinder.operations.inspect import status
from clinder.operations.lifecycle import down, up
from clinder.state import StateFolder

if sys.platform != "win32":
    import pty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hub.servers import Connection, Handler, Request

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs /proc and pseudo-terminals")
TOKEN = "Zm9v/YmFy+secret=="
FORMS = [TOKEN, quote(TOKEN, safe="")]
BUILD_TOKEN = "hunter2-of-the-hub"
LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token whose URL-encoded form differs."""
    monkeypatch.setattr("hub.servers.TOKEN", TOKEN)


@pytest.fixture
def hub(session: JupyterSession) -> Iterator[Server]:
    """A hub that repeats the token in its messages, plain and URL-encoded."""

    def launch(request: Request, connection: Connection) -> None:
        session.mode = "running"
        fields = json.loads(session.ready().removeprefix(b"data: "))
        fields["message"] = f"server running at {session.session_url}?token={FORMS[1]} ({TOKEN})\n"
        ready = b"data: " + json.dumps(fields).encode() + b"\n\n"
        stream(event("built", "ok\n"), event("launching", "Launching server...\n"), ready)(request, connection)

    with Server(launch) as server:
        yield server


@dataclass(frozen=True)
class Place:
    """A separate folder for the project, the home and temporary files, with the environment that points to them."""

    folder: Path
    environment: dict[str, str]

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def run(self, *arguments: str, expect: int | None = 0, env: Mapping[str, str] | None = None) -> Done:
        return clinder(self.project, *arguments, env={**self.environment, **(env or {})}, expect=expect)

    def files_with(self, secret: str) -> list[Path]:
        """Every file with the secret in its contents or its name."""
        found = []
        for path in self.folder.rglob("*"):
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            if secret.encode() in content or secret in str(path):
                found.append(path)
        return found


@pytest.fixture
def place(tmp_path: Path, hub: Server) -> Place:
    for name in ("project", "home", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "project" / "clinder.toml").write_text(
        f'hub = "{hub.url}"\nrepo = "org/name"\n[timeouts]\nstop = "3s"\nlaunch = "5s"\nconnect = "2s"\n'
        "[retry]\nattempts = 1\n"
    )
    own = {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "CLINDER_BUILD_TOKEN": BUILD_TOKEN,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Place(tmp_path, {**os.environ, **own})


def shows_it(text: str) -> bool:
    return any(form in text for form in (*FORMS, BUILD_TOKEN))


COMMANDS = [
    ("plan", "--json"),
    ("up", "-vv"),
    ("up", "-v", "-v"),
    ("plan",),
    ("status",),
    ("status", "--json"),
    ("state", "show"),
    ("state", "show", "--json"),
    ("run", "-vv", "--", "true"),
    ("run", "-vv", "--replace", "--", "true"),
    ("up", "-vv"),
    ("logs",),
    ("logs", "--json"),
    ("logs", "--timeline"),
    ("logs", "--svg", "picture.svg"),
    ("open",),
    ("state", "adopt", "-vv"),
    ("down", "-vv"),
    ("down", "-vv", "--json"),
]


def test_after_all_commands_the_token_is_only_in_the_state(place: Place, session: JupyterSession) -> None:
    browser = place.folder / "browser"
    browser.write_text('#!/bin/sh\nenv; echo "$@"\n')
    browser.chmod(0o755)
    uri = f"{session.session_url}?token={FORMS[1]}"
    for arguments in COMMANDS:
        done = place.run(*arguments, env={"BROWSER": str(browser), "CLINDER_SESSION": uri})
        assert not shows_it(done.stdout + done.stderr), (arguments, done)
    holding = place.files_with(TOKEN) + place.files_with(FORMS[1])
    assert {path.name for path in holding} <= {"state.json", "state.json.bak"}
    assert place.files_with(BUILD_TOKEN) == []


def test_only_the_user_can_read_the_state_with_the_token(place: Place) -> None:
    os.umask(0o022)
    place.run("up", "-vv")
    place.run("run", "--replace", "--", "true")
    place.run("up", "-vv")
    holding = place.files_with(TOKEN)
    assert {path.name for path in holding} == {"state.json", "state.json.bak"}
    for path in holding:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("arguments", [("up", "-vv"), ("start", "-vv", "--config", "clinder.toml", "--format", "uri")])
def test_the_live_view_does_not_show_the_token(place: Place, arguments: tuple[str, ...]) -> None:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(place.project)
        os.execve(
            str(Path(sys.executable).parent / "clinder"),
            ["clinder", *arguments],
            {**place.environment, "TERM": "xterm-256color", "COLUMNS": "200", "LINES": "50"},
        )
    written = b""
    with contextlib.suppress(OSError):
        while piece := os.read(descriptor, 65536):
            written += piece
    os.close(descriptor)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    view, _, result = written.decode().rpartition("http://") if arguments[0] == "start" else (written.decode(), "", "")
    assert not shows_it(view)
    assert (FORMS[1] in result) == (arguments[0] == "start"), "only start may show the token"


def mentions(process: psutil.Process) -> tuple[str, str]:
    try:
        return " ".join(process.cmdline()), "\n".join(f"{name}={value}" for name, value in process.environ().items())
    except psutil.Error:
        return "", ""


def test_only_the_command_of_run_has_the_token_in_its_environment(place: Place) -> None:
    code = f"print('ready', flush=True); import time; time.sleep({LIMIT_S})"
    with started(place.project, "run", "-vv", "--", sys.executable, "-c", code, env=place.environment) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        own = psutil.Process(run.pid)
        children = own.children(recursive=True)
        assert [shows_it(text) for text in mentions(own)] == [False, True], (
            "only the environment may contain the build token"
        )
        assert TOKEN not in "".join(mentions(own))
        assert len(children) == 1
        arguments, variables = mentions(children[0])
        assert not shows_it(arguments)
        assert [line for line in variables.splitlines() if shows_it(line)] == [f"JUPYTER_TOKEN={TOKEN}"]
        run.terminate()
        run.communicate(timeout=LIMIT_S)


def test_neither_git_nor_the_browser_gets_a_token(place: Place) -> None:
    place.run("up", "-q")
    tools = place.folder / "tools"
    tools.mkdir()
    for name in ("git", "browser"):
        (tools / name).write_text(f'#!/bin/sh\nenv > {tools}/{name}.seen\necho "$@" >> {tools}/{name}.seen\n')
        (tools / name).chmod(0o755)
    around = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "BROWSER": str(tools / "browser"),
        "CLINDER_SESSION": f"http://127.0.0.1/?token={TOKEN}",
        "JUPYTER_TOKEN": TOKEN,
    }
    place.run("plan", "--ref-check", env=around)
    place.run("open", env=around)
    for name in ("git", "browser"):
        eventually((tools / f"{name}.seen").exists, f"{name} was started")
        assert not shows_it((tools / f"{name}.seen").read_text()), name


# When things go wrong


def echo(status: int) -> Handler:
    """Return a handler that repeats the token in a refusal."""

    def handle(_request: Request, connection: Connection) -> None:
        connection.json(status, {"message": f"no: /user/x/api/kernels?token={FORMS[1]} {TOKEN}", "reason": TOKEN})

    return handle


FAULTS = ["kernel", "status", "url with the token", "bad url", "redirect", "unreachable", "failed", "failed before"]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_failure_shows_the_token(place: Place, hub: Server, session: JupyterSession, fault: str) -> None:
    with Server() as elsewhere:
        if fault == "kernel":
            session.overrides["POST", "api/kernels"] = echo(500)
            listed = {"default": "x", "kernelspecs": {TOKEN: {}, FORMS[1]: {}}}
            session.overrides["GET", "api/kernelspecs"] = lambda _request, connection: connection.json(200, listed)
        elif fault.startswith("failed"):
            failed = event("failed", f"no: /user/x/?token={FORMS[1]} {TOKEN}\n")
            pieces = (failed + session.ready(),) if fault == "failed" else (failed, 0.2, session.ready())
            hub.handler = stream(*pieces, "hold")
        elif fault == "status":
            session.overrides["GET", "api/status"] = echo(403)
        elif fault == "redirect":
            for method in ("GET", "POST"):
                session.overrides[method, "*"] = lambda request, connection: connection.html(
                    302, Location=f"{elsewhere.url}{request.path}?token={FORMS[1]}"
                )
        elif fault == "unreachable":
            session.overrides["GET", "*"] = lambda _request, connection: connection.reset()
        else:
            url = f"{session.session_url}?token={TOKEN}" + (" x" if fault == "bad url" else "")
            hub.handler = session.launch(url=url)
        done = place.run("up", "-vv", expect=None)
        assert done.status != 0
        said = done.stdout + done.stderr
        assert not shows_it(said), said
        assert elsewhere.requests == []
        holding = place.files_with(TOKEN) + place.files_with(FORMS[1])
        assert {path.name for path in holding} <= {"state.json", "state.json.bak"}


def test_neither_exceptions_nor_reprs_show_the_token(
    place: Place, session: JupyterSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(file=place.project / "clinder.toml", environment={})
    context = RunContext(build_token=BUILD_TOKEN)
    up(config, context)
    state = StateFolder(config.state_dir).read()
    shown = [repr(item) for item in (state, state.session, status(config), config, context)]
    session.overrides["POST", "api/kernels"] = echo(500)
    session.overrides["POST", "api/shutdown"] = lambda _request, connection: connection.reset()
    with pytest.raises(ClinderError) as launching:
        api.launch("org/name", hub=config.hubs[0], settings={"timeouts.stop": 0.3})
    with pytest.raises(ClinderError) as stopping:
        down(load_config(file=config.file, options={"timeouts.stop": "0.3s"}, environment={}), context)
    for caught in (launching, stopping):
        error: BaseException | None = caught.value
        shown += traceback.format_exception(caught.value)
        seen: list[BaseException] = []
        while error and error not in seen:
            seen.append(error)
            shown += [repr(error), str(error), repr(error.args)]
            error = error.__cause__ or error.__context__
        assert error is None, "an error is its own cause"
    assert not shows_it("\n".join(shown))


def test_the_token_given_to_stop_is_in_no_process_list(place: Place, session: JupyterSession) -> None:
    uri = f"{session.session_url}?token={FORMS[1]}"
    session.overrides["POST", "api/shutdown"] = lambda _request, connection: connection.hold()
    command = [str(Path(sys.executable).parent / "clinder"), "stop", "-vv", "--timeouts-connect", "30s", "-"]
    with subprocess.Popen(
        command, env=place.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as stopping:
        assert stopping.stdin is not None
        stopping.stdin.write(uri)
        stopping.stdin.close()
        stopping.stdin = None
        eventually(lambda: session.asked(f"{session.base}api/shutdown"), "the shutdown is requested")
        arguments, variables = mentions(psutil.Process(stopping.pid))
        stopping.kill()
        out, err = stopping.communicate(timeout=LIMIT_S)
    assert not any(form in text for form in FORMS for text in (arguments, variables, out, err))
