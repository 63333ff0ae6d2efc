"""The GitHub Action, run by Node.js as a runner does, against hubs that behave and hubs that do not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from commands import execute
from embedded import cache, checkout, eventually, processes_of
from hub.servers import TOKEN, JupyterSession, Server, event, stream
from runner import Job
from serving import Served, served

from clinder.git import newest_commit
from clinder.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["cache", "served"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are a POSIX matter")
COMMIT = "8c2e82bfa0d5d1f7d0a9f6e6a1f0b5c7f9a3d2e1"


@pytest.fixture(scope="session")
def runner_temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`RUNNER_TEMP`, shared by all tests so that clinder's environment is made once."""
    return tmp_path_factory.mktemp("runner") / "temp with space"


@pytest.fixture
def job(runner_temp: Path, tmp_path: Path) -> Iterator[Job]:
    """A job in an empty workspace; no process of its steps outlives it."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    runner_temp.mkdir(exist_ok=True)
    made = Job(runner_temp, tmp_path / "job", workspace)
    yield made
    for step in made.steps:
        if not step.is_over:
            step.post()
    eventually(lambda: not clinders(runner_temp), "clinder's processes have ended")
    left = [path.name for path in runner_temp.iterdir() if not path.name.startswith("clinder-python-")]
    assert left == [], "what a step has recorded goes with it"


def clinders(temp: Path) -> list[psutil.Process]:
    """The processes that a step of the action has started, by their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
        except psutil.Error:
            continue
        if any(part.endswith("start.py") for part in arguments) and any(str(temp) in part for part in arguments):
            found.append(process)
    return found


@pytest.fixture
def session() -> Iterator[JupyterSession]:
    with JupyterSession() as server:
        yield server


@pytest.fixture
def hub(session: JupyterSession) -> Iterator[Server]:
    with Server(session.launch()) as server:
        yield server


def test_a_session_is_there_for_the_steps_that_follow_and_gone_after_the_job(
    job: Job, served: Served, tmp_path: Path
) -> None:
    cookbook = checkout(tmp_path / "cookbook", notes__txt="first")
    commit = newest_commit(RepositorySpec("git", cookbook.as_uri(), "main"))
    step = job.step(hub_url=f"{served.url}/v2/", repo=cookbook.as_uri(), ref="main", keep_alive="true")
    ran = step.main()
    assert ran.status == 0, ran.output
    url, token = ran.environment["JUPYTER_BASE_URL"], ran.environment["JUPYTER_TOKEN"]
    assert execute(f"{url}/", token, "print(6 * 7)") == "42\n"
    assert ran.outputs["url"] == url
    assert ran.outputs["token"] == token
    assert ran.outputs["resolved-ref"] == commit
    assert ran.outputs["image"]
    assert 0 < float(ran.outputs["launch-seconds"]) < 120
    assert token in ran.understood.masks
    assert token not in ran.understood.shown
    assert len(clinders(job.temp)) == 1, "one process keeps the session from idling"
    post = step.post()
    assert post.status == 0
    assert f"stopped: {url}/" in post.understood.shown
    assert "ended: the job is over" in post.understood.shown
    assert [process for process in processes_of(tmp_path) if "jupyter_server" in " ".join(process.cmdline())] == []


def test_the_log_has_a_group_for_each_phase_and_the_summary_a_picture(job: Job, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name", ref="main")
    ran = step.main()
    assert ran.status == 0, ran.output
    assert list(ran.understood.groups) == ["built", "launching", "ready"]
    assert ran.understood.groups["launching"] == ["Launching server..."]
    assert ran.understood.open_group is None
    assert "```mermaid\ngantt\n" in ran.summary
    assert f"[{hub.url.replace(':', '&#58;')}]({hub.url})" in ran.summary
    assert "(https://github.com/org/name/tree/" in ran.summary
    assert TOKEN not in ran.summary
    step.post()


def test_the_summary_can_be_left_out(job: Job, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name", summary="false")
    assert step.main().summary == ""
    step.post()


def test_a_build_log_gives_the_runner_no_commands(job: Job, session: JupyterSession, hub: Server) -> None:
    attacks = [
        "::set-output name=url::http://evil.example",
        "innocent\r::add-mask::a\r\n::endgroup::\n",
        "  ::error::forged\n",
        "##[set-env name=PATH]/tmp\n",
        "x ##[group]y\n",
        "::stop-commands::word\n::word::\n::warning::forged\n",
        "\x1b[2K::notice::forged\n",
        "\u2028::notice::forged\n",
        "\x0b::notice::forged\x85::notice::forged\n",
    ]
    hub.handler = session.launch(*(event("building", attack) for attack in attacks))
    step = job.step(hub_url=hub.url, repo="org/name")
    ran = step.main()
    assert ran.status == 0, ran.output
    assert ran.understood.names == {"add-mask", "group", "endgroup"}
    assert set(ran.understood.masks) == {TOKEN}
    assert "http://evil.example" in ran.understood.shown
    step.post()


def test_a_failure_s_own_words_give_the_runner_no_commands(job: Job, hub: Server) -> None:
    words = "no\r::error::forged\n::set-output name=url::x\n##[error]forged, 100%0A::x:: `````` </details>\n"
    hub.handler = stream(event("building", "Step 1\n"), event("failed", words))
    ran = job.step(hub_url=hub.url, repo="org/name").main()
    assert ran.status == 5
    assert ran.understood.names == {"group", "endgroup", "error"}
    assert "forged" in ran.error
    assert "try the same by hand" in ran.error
    assert "100%0A" in ran.error
    assert "\n```````text\n" in ran.summary
    assert f"({hub.url}/v2/gh/org/name/" in ran.summary
    assert "crit, " in ran.summary
    assert "JUPYTER_TOKEN" not in ran.environment
