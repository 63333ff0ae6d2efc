"""The main commands as a user runs them (init to down, start and stop), with real servers and repositories."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, clinder, execute
from embedded import cache, checkout, eventually, processes_of, wheel
from serving import Served, served

if TYPE_CHECKING:
    from pathlib import Path

    import psutil  # type: ignore[import-untyped,unused-ignore]

__all__ = ["cache", "served"]


@pytest.fixture
def cookbook(tmp_path: Path) -> Path:
    """A git repository without requirements."""
    return checkout(tmp_path / "project" / "cookbook", notes__txt="first")


@pytest.fixture
def packaged(cookbook: Path) -> Path:
    """The cookbook with a package in its requirements.txt."""
    folder = cookbook
    name = wheel(folder, "answer", answer__py="VALUE = 42\n")
    (folder / "requirements.txt").write_text(f"./{name}\n")
    subprocess.run(["git", "-C", str(folder), "add", "--all"], check=True)
    subprocess.run(["git", "-C", str(folder), "commit", "--quiet", "--message", "Ask for a package"], check=True)
    return folder


@pytest.fixture
def project(tmp_path: Path, cookbook: Path) -> Path:
    """A folder whose clinder.toml names the cookbook, which the embedded hub clones."""
    folder = tmp_path / "project"
    (folder / "clinder.toml").write_text(f'hub = "local"\nrepo = "{cookbook.as_uri()}"\nref = "main"\n')
    return folder


def recorded(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / ".clinder" / "state.json").read_text())
    return found


def servers(folder: Path) -> list[psutil.Process]:
    return [process for process in processes_of(folder) if "jupyter_server" in " ".join(process.cmdline())]


@pytest.mark.usefixtures("packaged")
def test_up_gives_a_session_with_working_packages_and_down_ends_it(project: Path, tmp_path: Path) -> None:
    up = clinder(project, "up", "--json").document
    assert execute(up["url"], up["token"], "import answer; print(answer.VALUE)") == "42\n"
    assert len(servers(tmp_path)) == 1
    assert clinder(project, "down", "--json").document["action"] == "stopped"
    assert servers(tmp_path) == []


def test_a_second_up_keeps_a_session_that_is_running_as_declared(project: Path) -> None:
    first = clinder(project, "up", "--json").document
    second = clinder(project, "up", "--json").document
    assert (first["action"], second["action"]) == ("launched", "kept")
    assert second["url"] == first["url"]
    clinder(project, "down")


def test_a_changed_declaration_replaces_the_session(project: Path, tmp_path: Path) -> None:
    first = clinder(project, "up", "--json").document
    plan = clinder(project, "plan", "--ref", "HEAD", "--exit-code", "--json", expect=10).document
    assert [step["action"] for step in plan["steps"]] == ["launch", "stop"]
    second = clinder(project, "up", "--ref", "HEAD", "--json").document
    assert second["action"] == "replaced"
    assert second["url"] != first["url"]
    assert len(servers(tmp_path)) == 1
    assert recorded(project)["retired"] == []
    clinder(project, "down")


def test_a_session_that_died_is_launched_again(project: Path, tmp_path: Path) -> None:
    first = clinder(project, "up", "--json").document
    for process in servers(tmp_path):
        process.kill()
    eventually(lambda: not servers(tmp_path), "the server has ended")
    assert clinder(project, "status", "--json", expect=6).document["state"] == "gone"
    second = clinder(project, "up", "--json").document
    assert (second["action"], second["url"] != first["url"]) == ("launched", True)
    clinder(project, "down")


def test_status_shows_the_session_without_its_token(project: Path) -> None:
    up = clinder(project, "up", "--json").document
    status = clinder(project, "status", "--json")
    assert status.document["state"] == "running"
    assert status.document["resolved_ref"] == up["resolved_ref"]
    assert status.document["kernels"] == 0, "the kernel of the check was not stopped"
    assert up["token"] not in status.stdout
    assert clinder(project, "status", "--json", "--show-token").document["token"] == up["token"]
    assert up["url"] in clinder(project, "status").stdout
    clinder(project, "down")


def test_status_and_down_report_that_there_is_no_session(project: Path) -> None:
    assert clinder(project, "status", "--json", expect=6).document["state"] == "none"
    assert clinder(project, "down", "--json").document["action"] == "nothing to stop"


def test_two_simultaneous_ups_launch_one_session(project: Path, tmp_path: Path) -> None:
    command = [CLINDER, "up", "--json"]
    both = [subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    results = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert sorted(result["action"] for result in results) == ["kept", "launched"]
    assert len({result["url"] for result in results}) == 1
    assert len(servers(tmp_path)) == 1
    clinder(project, "down")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_only_the_owner_can_read_the_state(project: Path) -> None:
    clinder(project, "up")
    clinder(project, "down")
    folder = project / ".clinder"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes
    assert set(modes.values()) == {0o600}, modes
    ignored = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=False)
    assert ".clinder" not in ignored.stdout


def test_a_token_is_only_in_the_state(project: Path) -> None:
    up = clinder(project, "up", "-v")
    token = json.loads((project / ".clinder" / "state.json").read_text())["session"]["token"]
    assert token not in up.stdout + up.stderr
    found = {path.name for path in (project / ".clinder").rglob("*") if path.is_file() and token in path.read_text()}
    assert found <= {"state.json", "state.json.bak"}
    clinder(project, "down")


def test_stop_accepts_the_uri_of_start_on_stdin(cookbook: Path, tmp_path: Path) -> None:
    uri = clinder(tmp_path, "start", "--hub", "local", cookbook.as_uri()).stdout
    assert "?token=" in uri
    assert not (tmp_path / ".clinder").exists()
    assert clinder(tmp_path, "stop", "-", "--json", stdin=uri).document["action"] == "stopped"
    assert servers(tmp_path) == []
    assert clinder(tmp_path, "stop", "-", "--json", stdin=uri).document["action"] == "already gone"


def test_a_session_started_elsewhere_is_adopted_and_stopped(project: Path, cookbook: Path, tmp_path: Path) -> None:
    started = clinder(tmp_path, "start", "--hub", "local", cookbook.as_uri(), "--json").document
    env = {**os.environ, "CLINDER_SESSION": started["uri"]}
    assert clinder(project, "state", "adopt", env=env).stdout.strip() == started["url"]
    assert clinder(project, "up", "--json").document["action"] == "kept"
    assert clinder(project, "down", "--json").document["action"] == "stopped"


def test_init_takes_repository_and_branch_from_git(cookbook: Path) -> None:
    subprocess.run(
        ["git", "-C", str(cookbook), "remote", "add", "origin", "git@github.com:org/cookbook.git"], check=True
    )
    clinder(cookbook, "init")
    text = (cookbook / "clinder.toml").read_text()
    assert 'repo = "org/cookbook"' in text
    assert 'ref = "main"' in text
    again = clinder(cookbook, "init", expect=2)
    assert "already exists" in again.stderr
    clinder(cookbook, "init", "--force", "--hub", "https://hub.example.org")
    assert "https://hub.example.org" in (cookbook / "clinder.toml").read_text()


@pytest.mark.usefixtures("packaged")
def test_the_same_works_over_http_against_hub_serve(project: Path, served: Served, tmp_path: Path) -> None:
    up = clinder(project, "up", "--hub", served.url, "--json").document
    assert up["hub"] == served.url
    assert up["url"].startswith(served.url)
    assert len(up["resolved_ref"]) == 40
    assert execute(up["url"], up["token"], "import answer; print(answer.VALUE)") == "42\n"
    assert {time["phase"] for time in up["phases"]} >= {"building", "launching", "warming"}
    assert clinder(project, "down", "--json").document["action"] == "stopped"
    assert servers(tmp_path) == []


def test_hub_check_distinguishes_a_binderhub_from_another_server(served: Served, project: Path) -> None:
    good = clinder(project, "hub", "check", served.url, "--json").document
    assert good["is_binderhub"]
    assert good["healthy"]
    assert "gh" in good["providers"]
    bad = clinder(project, "hub", "check", f"{served.url}/health", "--json", expect=8).document
    assert not bad["is_binderhub"]
    assert "not a BinderHub" in bad["problem"]


def test_a_missing_ref_fails_the_build_and_records_nothing(project: Path, served: Served) -> None:
    failed = clinder(project, "up", "--hub", served.url, "--ref", "nowhere", "--json", expect=5).document
    assert failed["error"]["kind"] == "build-failed"
    assert "Could not resolve ref" in failed["error"]["message"]
    assert recorded(project)["session"] is None
    assert recorded(project)["pending"] is None
