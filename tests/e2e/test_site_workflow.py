"""The workflow that publishes the site, run like on a runner, with the action in between."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from embedded import PACKAGE_CACHES, cache, eventually, processes_of
from filelock import FileLock
from runner.files import read_values
from runner.job import ROOT
from runner.world import job, runner_temp
from tools import FOLDER

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped,unused-ignore]
    from runner.job import Job

__all__ = ["cache", "job", "runner_temp"]

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the site is built by a shell script"),
    pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="an unpacked source package has no CI files"),
]
LIMIT_S = 800.0


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    document = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = document["jobs"]["build"]["steps"]
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_the_site_is_built_with_a_page_executed_through_the_action(
    steps: list[dict[str, Any]], job: Job, tmp_path: Path
) -> None:
    """The test sets the port, the installed packages and the output folder; the rest is the workflow's."""
    scripts = {step["name"]: step["run"] for step in steps if "run" in step and "if" not in step}
    serve, build, see = scripts.values()
    port = str(free_port())
    outputs = tmp_path / "outputs"
    (tmp_path / "temp").mkdir()
    env = job.environment | PACKAGE_CACHES | {"GITHUB_OUTPUT": str(outputs), "RUNNER_TEMP": str(tmp_path / "temp")}
    env |= {"PORT": port, "CLINDER_VENV": str(FOLDER / "site"), "LC_ALL": "C.UTF-8"}
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}
    FOLDER.mkdir(parents=True, exist_ok=True)
    site = tmp_path / "site"

    def run(script: str, **more: str) -> None:
        script = re.sub(r"^python -m pip install .*$", "", script, flags=re.MULTILINE).replace("build/site", str(site))
        with (tmp_path / "log").open("w") as log:
            ended = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", script],
                cwd=ROOT,
                env=env | more,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            )
        assert ended.returncode == 0, (tmp_path / "log").read_text()

    try:
        run(serve)
        (used,) = [step for step in steps if step.get("uses") == "./"]
        given = {name: str(value) for name, value in used["with"].items()}
        given |= {"hub-url": f"http://127.0.0.1:{port}", "repo": read_values(outputs)["repo"]}
        step = job.step(**given)
        main = step.main()
        assert main.status == 0, main.output
        with FileLock(FOLDER / "site.lock"):  # test_site.py uses the same environment
            run(build, **main.environment)
        run(see)
    finally:
        stopped = [step.post() for step in job.steps]
        for process in hubs(tmp_path):
            process.terminate()
        eventually(lambda: not hubs(tmp_path), "the hub has ended")
    assert [step.status for step in stopped] == [0]


def hubs(folder: Path) -> list[psutil.Process]:
    return [process for process in processes_of(folder) if "serve" in process.cmdline()]


def test_only_builds_of_the_main_branch_are_published() -> None:
    document = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8"))
    deploy = document["jobs"]["deploy"]
    assert deploy["needs"] == "build"
    assert deploy["if"] == "github.ref == 'refs/heads/main' && github.event_name != 'pull_request'"
    assert document["permissions"] == {"contents": "read"}
    assert "permissions" not in document["jobs"]["build"]
