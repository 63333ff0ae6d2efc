"""The GitHub Action, run by Node.js as on a runner, with working and failing hubs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from commands import execute
from embedded import cache, checkout, processes_of
from hub.servers import TOKEN, JupyterSession, Server, event, stream
from runner.events import EVENTS, HEAD, Event
from runner.world import clinders, job, runner_temp
from serving import Served, served

from clinder.github_action.event import read_source
from clinder.model.repository import RepositorySpec
from clinder.system.git import newest_commit

if TYPE_CHECKING:
    from pathlib import Path

    from runner.job import Job

__all__ = ["cache", "job", "runner_temp", "served"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are a POSIX matter")
FAILS = stream(event("failed", "Could not resolve ref\n"))


def test_a_session_runs_for_the_following_steps_and_stops_after_the_job(
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
    assert len(clinders(job.temp)) == 1, "one process keeps the session active"
    post = step.post()
    assert post.status == 0
    assert f"stopped: {url}/" in post.understood.shown
    assert "ended: the job is over" in post.understood.shown
    assert [process for process in processes_of(tmp_path) if "jupyter_server" in " ".join(process.cmdline())] == []


def test_the_log_groups_phases_and_the_summary_charts_them(job: Job, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name", ref="main")
    ran = step.main()
    assert ran.status == 0, ran.output
    assert list(ran.understood.groups) == ["built", "launching", "ready"]
    assert ran.understood.groups["launching"] == ["Launching server..."]
    assert ran.understood.open_group is None
    assert "```mermaid\ngantt\n" in ran.summary
    assert f"[{hub.url.replace(':', '&#58;')}]({hub.url})" in ran.summary
    assert "(https://github.com/org/name/tree/" in ran.summary
    assert TOKEN not in ran.written_summary
    step.post()


def test_the_summary_can_be_disabled(job: Job, hub: Server) -> None:
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
    assert "http://evil.example" in "".join(ran.understood.unread)
    assert set(ran.understood.unread) == {line for lines in ran.understood.groups.values() for line in lines}
    step.post()


def test_a_token_repeated_by_the_server_is_masked(job: Job, session: JupyterSession, hub: Server) -> None:
    words = {"message": f"no kernel for {TOKEN}"}
    session.overrides["POST", "api/kernels"] = lambda _request, connection: connection.json(500, words)
    ran = job.step(hub_url=hub.url, repo="org/name", retry_attempts="1").main()
    assert ran.status == 5
    assert "no kernel for ***" in ran.understood.shown
    assert TOKEN not in ran.understood.shown + ran.summary


def test_an_error_message_gives_the_runner_no_commands(job: Job, hub: Server) -> None:
    words = "no\r::error::forged\n::set-output name=url::x\n##[error]forged, 100%0A::x:: `````` </details>\n"
    hub.handler = stream(event("building", "Step 1\n"), event("failed", words))
    ran = job.step(hub_url=hub.url, repo="org/name").main()
    assert ran.status == 5
    assert ran.understood.names == {"group", "endgroup", "error"}
    assert "forged" in ran.error
    assert "launch the same repository by hand" in ran.error
    assert "100%0A" in ran.error
    assert "\n```````text\n" in ran.summary
    assert f"({hub.url}/v2/gh/org/name/" in ran.summary
    assert "crit, " in ran.summary
    assert "JUPYTER_TOKEN" not in ran.environment


@pytest.mark.parametrize("told", EVENTS.values(), ids=EVENTS)
def test_repository_and_ref_come_from_the_event(job: Job, hub: Server, told: Event) -> None:
    hub.handler = FAILS
    job.event, job.variables = told.job()["event"], told.job()["variables"]
    ran = job.step(hub_url=hub.url).main()
    asked = [request.target for request in hub.asked("/build/")]
    assert told.why in (ran.understood.shown if told.spec else ran.error)
    prefix = "" if told.spec.startswith("git/") else "gh/"
    assert asked == ([f"/build/{prefix}{told.spec}"] if told.spec else [])


@pytest.mark.parametrize("told", [told for told in EVENTS.values() if told.spec], ids=lambda told: told.why)
def test_an_event_explains_its_repository_and_ref(job: Job, told: Event) -> None:
    job.event, job.variables = told.job()["event"], told.job()["variables"]
    source = read_source(job.environment)
    assert told.why in source.why
    assert told.spec.endswith(f"/{source.ref}")


def test_a_clinder_toml_in_the_repository_needs_no_inputs(job: Job, hub: Server) -> None:
    (job.workspace / "clinder.toml").write_text(f'hub = "{hub.url}"\nrepo = "org/cookbook"\nref = "main"\n')
    step = job.step()
    ran = step.main()
    assert ran.status == 0, ran.output
    assert [request.path for request in hub.asked("/build/")] == ["/build/gh/org/cookbook/main"]
    assert "repo = org/cookbook (clinder.toml), ref = main (clinder.toml)" in ran.understood.shown
    step.post()


def test_inputs_override_the_file_and_the_event_fills_gaps(job: Job, hub: Server) -> None:
    hub.handler = FAILS
    (job.workspace / "books").mkdir()
    (job.workspace / "books" / "clinder.toml").write_text('hub = "https://hub.example.org"\n')
    told = EVENTS["pull_request of a fork"]
    job.event, job.variables = told.job()["event"], told.job()["variables"]
    job.step(hub_url=hub.url, working_directory="books").main()
    job.step(hub_url=hub.url, config="books/clinder.toml", ref="other").main()
    job.step(hub_url=hub.url, config="books/clinder.toml", repo="org/other").main()
    asked = [request.path.removeprefix("/build/gh/") for request in hub.asked("/build/")]
    assert asked == [f"student/name/{HEAD}", "student/name/other", "org/other/HEAD"]


def test_a_private_repository_gets_a_warning(job: Job, hub: Server) -> None:
    hub.handler = FAILS
    job.event = ("push", {"repository": {"full_name": "org/name", "private": True}})
    ran = job.step(hub_url=hub.url).main()
    (warning,) = ran.understood.annotations("warning")
    assert "org/name is private" in warning.data


def test_the_build_token_is_masked_first_and_only_sent_to_the_hub(job: Job, hub: Server) -> None:
    step = job.step(hub_url=hub.url, repo="org/name", build_token="s3cret%/token")
    ran = step.main()
    assert ran.output.startswith("::add-mask::s3cret%25/token\n")
    assert [request.query for request in hub.asked("/build/")] == ["build_token=s3cret%25%2Ftoken"]
    assert "s3cret" not in ran.understood.shown + ran.summary
    step.post()


def test_a_build_token_in_the_environment_is_masked_too(job: Job, hub: Server) -> None:
    hub.handler = FAILS
    job.more = {"CLINDER_BUILD_TOKEN": "s3cret"}
    assert job.step(hub_url=hub.url, repo="org/name").main().output.startswith("::add-mask::s3cret\n")


def test_an_invalid_input_is_named(job: Job) -> None:
    ran = job.step(hub_url="mybinder.org", timeouts_build="soon").main()
    assert ran.status == 2
    assert "did you mean https://mybinder.org" in ran.error
    assert "(input timeouts-build)" in ran.error


def test_a_timeout_names_the_input_that_sets_it(job: Job, hub: Server) -> None:
    hub.handler = stream(event("building", "Step 1\n"), "hold")
    ran = job.step(hub_url=hub.url, repo="org/name", timeouts_build="500ms").main()
    assert ran.status == 7
    assert "timeouts.build = 0.5s (input timeouts-build)" in ran.error


def test_workspace_and_environment_cannot_inject_python_code(job: Job, hub: Server) -> None:
    for name in ("requests", "clinder", "typing", "sitecustomize"):
        (job.workspace / f"{name}.py").write_text("raise SystemExit('taken over')\n")
    job.more = {"PYTHONPATH": str(job.workspace), "PYTHONSTARTUP": "x", "PYTHONHOME": "/nonexistent"}
    step = job.step(hub_url=hub.url, repo="org/name")
    ran = step.main()
    assert ran.status == 0, ran.output
    step.post()


def test_two_steps_of_a_job_have_separate_sessions(job: Job, session: JupyterSession, hub: Server) -> None:
    with JupyterSession() as other:
        first = job.step(hub_url=hub.url, repo="org/name")
        first.main()
        hub.handler = other.launch()
        second = job.step(hub_url=hub.url, repo="org/name")
        assert second.main().environment["JUPYTER_BASE_URL"] == other.session_url.rstrip("/")
        second.post()
        assert other.was_shut_down
        assert not session.was_shut_down
        first.post()
        assert session.was_shut_down
