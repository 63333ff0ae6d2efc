"""Project Pythia's cookbooks migrate as the page describes, and are executed in a session from then on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml
from embedded import cache, git
from pages import DOCS, ROOT
from pythia import (
    COOKBOOKS,
    EVENT,
    NAME,
    Cookbook,
    build,
    cookbook,
    do_as_the_page_says,
    pages_of,
    programs,
    server,
)
from runner.workflow import read_workflow
from runner.world import job, runner_temp
from serving import Served, served
from tools import myst

if TYPE_CHECKING:
    from pathlib import Path

    from runner.job import Job
    from runner.workflow import WorkflowJob

__all__ = ["cache", "job", "myst", "programs", "runner_temp", "served", "server"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the workflows run on Linux")

OURS = ROOT / ".github" / "workflows" / "build-cookbook.yml"
SHARED = COOKBOOKS / "build-book.yaml"
PATCH = DOCS / "examples" / "project-pythia" / "build-book.patch"
IN_REPOSITORY = ".github/workflows/build-book.yaml"
LIMIT_S = 60


def cookbook_actions(folder: Path, *, before: str = "") -> Path:
    """Create a checkout of the shared workflows, and return the one that builds books."""
    file = folder / IN_REPOSITORY
    file.parent.mkdir(parents=True)
    file.write_text(before + SHARED.read_text())
    git(folder, "init", "--quiet")
    return file


APPLY = {"git": ["git", "apply"], "patch": ["patch", "--strip=1", "--fuzz=0", "--input"]}


@pytest.mark.parametrize("tool", APPLY)
@pytest.mark.parametrize("before", ["", "# another line\n" * 25], ids=["unchanged", "with lines before it"])
def test_the_patch_changes_one_line_of_the_shared_workflow(tmp_path: Path, tool: str, before: str) -> None:
    file = cookbook_actions(tmp_path / "actions", before=before)
    was = file.read_text().splitlines()
    subprocess.run([*APPLY[tool], str(PATCH)], cwd=tmp_path / "actions", check=True, timeout=LIMIT_S)
    changed = [pair for pair in zip(was, file.read_text().splitlines(), strict=True) if len(set(pair)) == 2]
    assert changed == [("        uses: 2i2c-org/clinder@main", "        uses: clinder-dev/clinder@v1")]


def test_the_command_next_to_the_patch_does_the_same(tmp_path: Path) -> None:
    patched = cookbook_actions(tmp_path / "patched")
    subprocess.run([*APPLY["git"], str(PATCH)], cwd=tmp_path / "patched", check=True, timeout=LIMIT_S)
    file = cookbook_actions(tmp_path / "edited")
    do_as_the_page_says("in cookbook-actions", tmp_path / "edited")
    assert file.read_text() == patched.read_text()


def on_server(job: Job, book: Cookbook, commit: str) -> None:
    """Make the runner work for a push to the cookbook's own server."""
    book.check_out(job, commit)
    job.event = (EVENT[0], {**EVENT[1], "after": commit, "head_commit": {"id": commit}})
    job.variables = {"SERVER_URL": book.server_url, "REPOSITORY": NAME, "SHA": commit}


def assert_executed_in_session(
    run: WorkflowJob, cache: Path, folder: Path, artifact: str = "book-zip"
) -> dict[str, str]:
    assert not run.failed, run.said
    pages = pages_of(run.artifacts / artifact, folder)
    assert "fell: 6 mm" in pages["notebooks/counting"]
    assert f"counted by {cache / 'environments'}" in pages["notebooks/counting"]
    assert f"ran in {cache / 'sessions'}" in pages["notebooks/where"]
    return pages


def test_the_patched_workflow_builds_an_unchanged_cookbook(
    job: Job, served: Served, server: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    book = cookbook("today", server, served.url)
    book.use_theme_without_network()
    on_server(job, book, book.push("Use a theme that is here"))
    file = cookbook_actions(tmp_path / "actions")
    subprocess.run([*APPLY["git"], str(PATCH)], cwd=tmp_path / "actions", check=True, timeout=LIMIT_S)
    file.write_text(file.read_text().replace("https://binder.example.org", served.url))
    run = build(job, file, tmp_path / "artifacts", job.workspace / ".github/workflows/publish-book.yaml")
    assert "Make the environment" in run.skipped
    pages = assert_executed_in_session(run, cache, tmp_path / "site")
    assert '<base href="/rain-gauge-cookbook/">' in pages["notebooks/where"]


def moved(book: Cookbook, comment: str) -> str:
    """Migrate a cookbook as the page describes, push it, and return the commit, which is the only new one."""
    before = git(book.checkout, "rev-parse", "HEAD")
    do_as_the_page_says(comment, book.checkout)
    assert git(book.checkout, "status", "--porcelain") == ""
    assert git(book.checkout, "rev-parse", "HEAD^") == before
    book.use_theme_without_network()
    return book.push("Use a theme that is here")


def test_a_current_cookbook_migrates_with_one_commit(
    job: Job, served: Served, server: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    book = cookbook("today", server, served.url)
    on_server(job, book, moved(book, "in a cookbook that MyST builds"))
    declared = tomllib.loads((job.workspace / "clinder.toml").read_text())
    assert declared == {"hub": served.url, "repo": book.url}
    caller = job.workspace / ".github/workflows/publish-book.yaml"
    called = read_workflow(caller)["jobs"]["build"]["uses"]
    assert called == f"clinder-dev/clinder/{OURS.relative_to(ROOT)}@v1"
    run = build(job, OURS, tmp_path / "artifacts", caller)
    assert_executed_in_session(run, cache, tmp_path / "site")
    assert run.outputs["resolved_ref"] == git(book.checkout, "rev-parse", "HEAD")
    assert float(run.outputs["launch_seconds"]) > 0


def test_a_binderbot_cookbook_migrates_with_one_commit(
    job: Job, served: Served, server: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    book = cookbook("binderbot", server, served.url)
    on_server(job, book, moved(book, "in a cookbook that Jupyter Book 1 built"))
    declared = tomllib.loads((job.workspace / "clinder.toml").read_text())
    assert declared == {"hub": served.url, "repo": book.url, "ref": "main"}
    names = {path.name for path in job.workspace.iterdir()}
    assert not {name for name in names if "_config" in name or "_toc" in name}
    toc = yaml.safe_load((job.workspace / "myst.yml").read_text())["project"]["toc"]
    assert [part.get("title") for part in toc] == [None, "Preamble", "Rain"]
    run = build(job, OURS, tmp_path / "artifacts", job.workspace / ".github/workflows/publish-book.yaml")
    assert_executed_in_session(run, cache, tmp_path / "site")


def test_a_pull_request_executes_the_code_of_its_fork(
    job: Job, served: Served, server: tuple[Path, str], cache: Path, tmp_path: Path
) -> None:
    book = cookbook("today", server, served.url)
    moved(book, "in a cookbook that MyST builds")
    fork = book.fork("student/rain-gauge-cookbook")
    (fork.checkout / "notebooks" / "gauge.py").write_text("print('a gauge of the fork')\n")
    where = fork.checkout / "notebooks" / "where.ipynb"
    where.write_text(where.read_text().replace("from pathlib", "import gauge\\nfrom pathlib"))
    commit = fork.push("Count with another gauge")
    fork.check_out(job, commit)
    head = {"sha": commit, "repo": {"html_url": fork.url, "full_name": fork.name, "private": False}}
    job.event = ("pull_request", {**EVENT[1], "number": 12, "pull_request": {"number": 12, "head": head}})
    job.variables = {"SERVER_URL": book.server_url, "REPOSITORY": NAME}
    run = build(job, OURS, tmp_path / "artifacts", job.workspace / ".github/workflows/trigger-book-build.yaml")
    pages = assert_executed_in_session(run, cache, tmp_path / "site", "book-zip-12")
    assert "a gauge of the fork" in pages["notebooks/where"]
    assert '<base href="/rain-gauge-cookbook/_preview/12/">' in pages["notebooks/where"]
    assert run.outputs["resolved_ref"] == commit


def test_a_cell_that_raises_fails_the_build_and_leaves_no_artifact(
    job: Job, served: Served, server: tuple[Path, str], tmp_path: Path
) -> None:
    book = cookbook("today", server, served.url)
    where = book.checkout / "notebooks" / "where.ipynb"
    where.write_text(where.read_text().replace("from pathlib", "from rain_that_fell_nowhere"))
    book.push("Break a cell")
    on_server(job, book, moved(book, "in a cookbook that MyST builds"))
    run = build(job, OURS, tmp_path / "artifacts")
    assert run.failed
    assert "rain_that_fell_nowhere" in run.said
    assert not (tmp_path / "artifacts").exists()


def test_the_replacement_has_every_input_and_secret_of_the_shared_workflow() -> None:
    theirs, ours = (read_workflow(path)["on"]["workflow_call"] for path in (SHARED, OURS))
    assert set(theirs["inputs"]) <= set(ours["inputs"])
    assert set(theirs["secrets"]) <= set(ours["secrets"])
    assert theirs["inputs"]["artifact_name"]["default"] == ours["inputs"]["artifact_name"]["default"]


def test_the_page_names_every_input_and_output_of_the_replacement() -> None:
    called = read_workflow(OURS)["on"]["workflow_call"]
    page = (DOCS / "migrating-pythia.md").read_text()
    for name in (*called["inputs"], *called["secrets"], *called["outputs"]):
        assert f"`{name}`" in page
