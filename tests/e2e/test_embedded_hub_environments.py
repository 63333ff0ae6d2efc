"""The embedded hub builds the environment that a repository declares once, and runs the session in it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from embedded import (
    Session,
    cache,
    checkout,
    cloned,
    commit,
    eventually,
    failure,
    launched,
    local,
    phases,
    processes_of,
    run_python,
    wheel,
)

from clinder.localhub.hub import LocalHub
from clinder.localhub.sessions import stop
from clinder.model.events import Event, Phase

if TYPE_CHECKING:
    from clinder.localhub.environment import Installer

__all__ = ["cache"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose requirements are already installed for the server."""
    folder = checkout(tmp_path / "cookbook", requirements__txt="./probe-1.0-py3-none-any.whl  # ours\n")
    wheel(folder, "probe", probe__py="ANSWER = 42\n")
    return commit(folder)


def log(events: list[Event]) -> str:
    return "".join(event.message for event in events)


def python_of(session: Session) -> str:
    kernels = session.get("api/kernelspecs").json()["kernelspecs"]
    return str(kernels["python3"]["spec"]["argv"][0])


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_requirements_are_installed_once_and_the_server_runs_there(
    repository: Path, cache: Path, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For speed: most installed modules are never imported here.
    monkeypatch.setenv("PIP_NO_COMPILE", "1")
    events, session = launched(cloned(repository), LocalHub(installer=installer))
    assert phases(events) == [
        Phase.WAITING,
        None,
        Phase.FETCHING,
        Phase.BUILDING,
        Phase.BUILT,
        Phase.LAUNCHING,
        Phase.READY,
    ]
    assert "uv pip install" in log(events) if installer == "uv" else "-m pip install" in log(events)
    python = python_of(session)
    assert python.startswith(str(cache / "environments"))
    assert list(Path(python).parents[1].glob("lib/python*/site-packages/probe.py"))
    assert stop(session.url, 10)
    events, session = launched(cloned(repository), LocalHub(installer=installer))
    assert phases(events) == [Phase.BUILT, Phase.LAUNCHING, Phase.READY]
    assert python_of(session) == python
    assert stop(session.url, 10)


def test_equal_requirements_of_another_repository_are_not_built_again(tmp_path: Path) -> None:
    first = checkout(tmp_path / "first", requirements__txt="six\n")
    second = checkout(tmp_path / "second", requirements__txt="six\n")
    _, session = launched(local(first))
    assert stop(session.url, 10)
    events, session = launched(local(second))
    assert phases(events) == [Phase.BUILT, Phase.LAUNCHING, Phase.READY]
    assert stop(session.url, 10)


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_failed_build_shows_its_output_and_leaves_nothing(tmp_path: Path, cache: Path, installer: Installer) -> None:
    repository = checkout(tmp_path / "cookbook", requirements__txt="./there-is-no-such-folder\n")
    events = list(LocalHub(installer=installer).events(local(repository)))
    assert [event.phase for event in events].count(Phase.FAILED) == 1
    assert events[-1].phase is Phase.FAILED
    assert events[-1].message.startswith("Error during build: The command ")
    assert "returned a non-zero code: " in events[-1].message
    assert "there-is-no-such-folder" in log(events)
    assert not [path for path in (cache / "environments").iterdir() if path.is_dir()]


BUILD = """
import sys
from clinder.localhub.hub import LocalHub
from clinder.model.repository import RepositorySpec
for event in LocalHub(installer="pip").events(RepositorySpec("local", sys.argv[1])):
    print(event.message, flush=True)
"""


@pytest.fixture
def stalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose build never ends, because a stand-in for the build tool waits."""
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "mamba"
    tool.write_text("#!/bin/sh\necho solving\nsleep 600 &\nsleep 600\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return checkout(tmp_path / "cookbook", environment__yml="dependencies: [python]\n")


def test_abandoning_a_build_ends_its_children(stalling: Path, tmp_path: Path, cache: Path) -> None:
    events = LocalHub().events(local(stalling))
    for event in events:
        if event.message == "solving\n":
            break
    assert processes_of(tmp_path / "tools"), "the build is not running"
    events.close()
    assert not processes_of(tmp_path)
    assert not [path for path in (cache / "environments").iterdir() if path.is_dir()]


def test_an_interrupted_build_is_repeated_and_other_processes_wait_for_it(
    stalling: Path, tmp_path: Path, cache: Path
) -> None:
    first = run_python(BUILD, str(stalling))
    # clinder also has the tool's folder on its PATH, but only the tool has it in its arguments.
    tool = str(tmp_path / "tools" / "mamba")
    eventually(
        lambda: any(tool in process.cmdline() for process in processes_of(tmp_path / "tools")),
        "the first build is running",
    )
    second = run_python(BUILD, str(stalling))
    assert second.stdout is not None
    lines = iter(second.stdout.readline, "")
    assert any("Another process builds the same environment" in line for line in lines)
    first.kill()
    first.communicate()
    assert any(line == "solving\n" for line in lines), "the incomplete environment was not rebuilt"
    second.kill()
    second.communicate()
    for process in processes_of(tmp_path / "tools"):
        process.kill()


def test_a_conda_environment_is_built_with_the_tool_on_the_path(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in records its arguments and makes an environment with this interpreter's packages."""
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "micromamba"
    tool.write_text(
        f"""#!{sys.executable}
import json, pathlib, sys, sysconfig, venv
with open({str(tools / "calls.json")!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
prefix = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1])
if sys.argv[1] == "create":
    venv.create(prefix, symlinks=True)
    (prefix / "conda-meta").mkdir()
    (packages,) = prefix.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    repository = checkout(tmp_path / "cookbook", environment__yml="dependencies: [python]\n")
    _, session = launched(local(repository))
    assert python_of(session).startswith(str(cache / "environments"))
    assert stop(session.url, 10)
    create, install = (json.loads(line) for line in (tools / "calls.json").read_text().splitlines())
    assert create[:2] == ["create", "--prefix"]
    assert create[-2:] == ["--file", str(repository / "environment.yml")]
    assert install[:3] == ["install", "--yes", "--prefix"]
    assert "ipykernel>=6" in install


def test_a_conda_environment_without_conda_names_the_missing_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(tools))
    repository = tmp_path / "cookbook"
    repository.mkdir()
    (repository / "environment.yml").write_text("dependencies: [python]\n")
    assert "needs mamba, micromamba or conda on PATH" in failure(local(repository)).message


def test_a_folder_that_git_cannot_read_fails_with_the_error_of_git(tmp_path: Path) -> None:
    repository = checkout(tmp_path / "cookbook", requirements__txt="./package\n")
    (repository / ".git" / "index").write_bytes(b"no index")
    assert "fatal: .git/index" in failure(local(repository)).message


def test_unsupported_files_give_a_warning(tmp_path: Path) -> None:
    repository = checkout(tmp_path / "cookbook", postBuild="exit 1\n", apt__txt="gdal-bin\n")
    events, session = launched(local(repository))
    assert "Warning: The embedded hub does not support apt.txt: it is ignored.\n" in log(events)
    assert "Warning: The embedded hub does not support postBuild: it is ignored.\n" in log(events)
    assert stop(session.url, 10)
