"""The Python API: it stops every session that it started, reports progress, and its examples run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from books import kept_cache, notebook, place, servers
from embedded import checkout, eventually
from hub.servers import TOKEN, JupyterSession, Server
from pace import assert_took_under
from tools import python_packages

import clinder
from clinder.model.errors import BuildError, ConfigError, LaunchError, TimedOutError
from clinder.model.events import Attempt, Event, Phase, Progress, Verified

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kept_cache", "place"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "python"
LIMIT_S = 120.0
QUICK: dict[str, object] = {"session.warm": "off", "retry.attempts": 1, "timeouts.stop": "5s"}


@pytest.fixture
def server() -> Iterator[JupyterSession]:
    with JupyterSession() as running:
        yield running


@pytest.fixture
def hub(server: JupyterSession) -> Iterator[Server]:
    with Server(server.launch()) as running:
        yield running


def test_a_session_lasts_as_long_as_its_block(server: JupyterSession, hub: Server) -> None:
    with clinder.session("org/name", hub=hub.url, settings=QUICK) as session:
        assert (session.url, session.token) == (server.session_url, TOKEN)
        assert not server.was_shut_down
    assert server.was_shut_down


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_the_session_is_stopped_however_its_block_ends(
    server: JupyterSession, hub: Server, error: BaseException
) -> None:
    with pytest.raises(type(error)), clinder.session("org/name", hub=hub.url, settings=QUICK):
        raise error
    assert server.was_shut_down


def test_launch_and_stop_are_the_two_halves(server: JupyterSession, hub: Server) -> None:
    session = clinder.launch("org/name", hub=hub.url, ref="main", settings=QUICK)
    assert (session.hub, session.provider, session.repo, session.ref) == (hub.url, "gh", "org/name", "main")
    assert TOKEN not in repr(session)
    assert clinder.stop(session)
    assert not clinder.stop(session), "the session was not gone"


def test_settings_apply_where_no_argument_is_given(server: JupyterSession, hub: Server) -> None:
    several: dict[str, object] = {"hub": [hub.url, "https://other.example"], "repo": "org/name", "ref": "v1"}
    with clinder.session(settings=QUICK | several) as session:
        assert (session.repo, session.ref, session.hub) == ("org/name", "v1", hub.url)


def test_the_file_also_applies_to_the_end_of_a_session(server: JupyterSession, hub: Server, tmp_path: Path) -> None:
    file = tmp_path / "clinder.toml"
    file.write_text(f'hub = "{hub.url}"\nrepo = "org/name"\n[session]\nwarm = "off"\n[timeouts]\nstop = "0.3s"\n')
    began = time.monotonic()
    with pytest.raises(TimedOutError), clinder.session(file=file):
        server.after_shutdown = "running"
    assert_took_under(time.monotonic() - began, LIMIT_S / 10)


def test_progress_is_reported(server: JupyterSession, hub: Server) -> None:
    heard: list[Event | Progress] = []
    clinder.launch("org/name", hub=hub.url, settings=QUICK, on_event=heard.append)
    assert isinstance(heard[0], Attempt)
    assert [item.phase for item in heard if isinstance(item, Event)][-1] is Phase.READY
    assert any(isinstance(item, Verified) for item in heard)


def test_a_listener_that_raises_leaves_no_session_behind(server: JupyterSession, hub: Server) -> None:
    def refuse(item: Event | Progress) -> None:
        if isinstance(item, Verified):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        clinder.launch("org/name", hub=hub.url, settings=QUICK, on_event=refuse)
    assert server.was_shut_down


def test_errors_have_the_documented_types(server: JupyterSession, hub: Server) -> None:
    with pytest.raises(ConfigError):
        clinder.launch("not a repository", hub=hub.url)
    with pytest.raises(ConfigError):
        clinder.launch("org/name", hub=hub.url, settings={"timeouts.built": "1s"})
    server.mode = "404"
    with pytest.raises(LaunchError):
        clinder.launch("org/name", hub=hub.url, settings=QUICK)


def test_ctrl_c_during_the_launch_is_a_keyboard_interrupt_and_stops_the_session(
    server: JupyterSession, hub: Server
) -> None:
    def interrupt(item: Event | Progress) -> None:
        if isinstance(item, Event) and item.phase is Phase.LAUNCHING:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        clinder.launch("org/name", hub=hub.url, settings=QUICK, on_event=interrupt)
    assert server.was_shut_down
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_build_that_fails_raises(place: Path) -> None:
    repository = checkout(place / "broken", requirements__txt="./no-such-folder\n")
    with pytest.raises(BuildError, match="non-zero code"), clinder.session(str(repository), hub="local"):
        pass


@pytest.fixture(scope="module")
def project(place: Path) -> Path:
    """A repository with a notebook and a `clinder.toml` that names the repository itself."""
    declared = 'hub = "local"\nrepo = "."\n'
    return checkout(place / "project", hello__ipynb=notebook("1"), clinder__toml=declared)


def run(project: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_script_of_the_documentation_runs(project: Path, place: Path) -> None:
    assert run(project, sys.executable, str(EXAMPLES / "script.py"), str(project), "local") == "python3\n"
    assert servers(place) == []


def test_the_noxfile_of_the_documentation_runs(project: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nox = str(python_packages("nox", "nox") / "nox")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]))
    (project / "noxfile.py").write_text((EXAMPLES / "noxfile.py").read_text())
    on_event = "import os; print('at', os.environ['JUPYTER_BASE_URL'])"
    assert "at http://127.0.0.1:" in run(project, nox, "-s", "book", "--", sys.executable, "-c", on_event)
    assert servers(place) == []


def test_the_pytest_fixture_of_the_documentation_works(project: Path, place: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(project)]
    assert "1 passed" in run(project, *command, str(EXAMPLES / "test_with_session.py"))
    assert servers(place) == []


def test_ctrl_c_in_a_script_stops_its_session(project: Path, place: Path) -> None:
    code = "import clinder, time\nwith clinder.session('.', hub='local'):\n    print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert len(servers(place)) == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT_S)
    assert "KeyboardInterrupt" in said
    eventually(lambda: servers(place) == [], "the server has ended")


TYPED = """
from collections.abc import Iterator
from typing import assert_type

import clinder
from clinder.model.events import Event, Progress


def hear(item: Event | Progress) -> None: ...


def use() -> Iterator[clinder.Session]:
    session = clinder.launch("org/name", hub="local", settings={"timeouts.build": "20m"}, on_event=hear)
    assert_type(session, clinder.Session)
    assert_type(session.url, str)
    assert_type(session.token, str)
    assert_type(clinder.stop(session), bool)
    with clinder.session("org/name", ref="main") as inner:
        assert_type(inner, clinder.Session)
        yield inner
    try:
        clinder.launch()
    except clinder.ClinderError as error:
        assert_type(error.exit_status, int)
        assert_type(error.hint, str)
    clinder.launch(hub=3)  # type: ignore[arg-type]
    clinder.launch(refs="main")  # type: ignore[call-arg]
"""


def test_the_types_are_correct_for_users(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(TYPED)
    run(tmp_path, sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py")


def test_the_public_names_are_complete() -> None:
    assert set(clinder.__all__) == {"HOME_PAGE", "ClinderError", "Session", "__version__", "launch", "session", "stop"}
    for name in clinder.__all__:
        assert getattr(clinder, name)
