"""The example workflows for GitHub, run job by job, with sessions on the embedded hub and a real git repository."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from embedded import cache, git
from pages import DOCS
from pythia import EVENT, NAME, Cookbook, cookbook, programs, server
from runner.workflow import WorkflowJob, read_workflow
from runner.world import job, runner_temp
from serving import Served, served
from tools import debian_package, myst

if TYPE_CHECKING:
    from hub.servers import Server
    from runner.job import Job

__all__ = ["cache", "job", "myst", "programs", "runner_temp", "served", "server"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the workflows run on Linux")

EXAMPLES = DOCS / "examples" / "github-actions"
COMMIT = "c" * 40

GH = f"""#!{sys.executable}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
call = sys.argv[1:]
with (here / "gh-calls").open("a") as file:
    file.write(json.dumps([call, sys.stdin.read() if "--body-file" in call else ""]) + "\\n")
answers = json.loads((here / "gh-answers").read_text())
key = " ".join(call)
for part, answer in answers.items():
    if part in key:
        if answer is None:
            sys.exit(1)
        print(json.dumps(answer))
"""


class GitHub:
    """A stand-in for `gh` with prepared answers that records its calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "gh").write_text(GH)
        (folder / "gh").chmod(0o755)
        self.answer({})

    def answer(self, answers: dict[str, Any]) -> None:
        """Set the answers to calls that contain given words; None makes the call fail."""
        (self._folder / "gh-answers").write_text(json.dumps(answers))
        (self._folder / "gh-calls").write_text("")

    def calls(self, *words: str) -> list[tuple[list[str], str]]:
        """The calls that begin with these words, each with its stdin."""
        lines = (self._folder / "gh-calls").read_text().splitlines()
        return [(call, given) for call, given in map(json.loads, lines) if call[: len(words)] == list(words)]


@pytest.fixture
def github(programs: Path, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    debian_package("jq", "jq")
    return GitHub(programs)


def run(job: Job, file: str, name: str, artifacts: Path, **contexts: Any) -> WorkflowJob:
    """Run one job of an example."""
    given = {
        "event_name": job.event[0],
        "event": job.event[1],
        "repository": job.variables["REPOSITORY"],
        "server_url": job.variables["SERVER_URL"],
        "run_id": "77",
    }
    return WorkflowJob(job, read_workflow(EXAMPLES / file), name, {"github": given, **contexts}, artifacts).run()


@pytest.fixture
def book(job: Job, served: Served, server: tuple[Path, str], tmp_path: Path) -> Cookbook:
    """A cookbook with a `clinder.toml`, on a server that stands in for GitHub."""
    made = cookbook("today", server, served.url)
    made.use_theme_without_network()
    (made.checkout / "clinder.toml").write_text(f'hub = "{served.url}"\n')
    commit = made.push("Declare the session")
    job.event = (EVENT[0], {**EVENT[1], "after": commit, "head_commit": {"id": commit}})
    job.variables = {"SERVER_URL": made.server_url, "REPOSITORY": NAME, "SHA": commit, "RUN_ID": "77"}
    return made


def published(book: Cookbook) -> dict[str, str]:
    """The files on the branch gh-pages."""
    names = git(book.server / NAME, "ls-tree", "-r", "--name-only", "gh-pages").splitlines()
    looked = Path(tempfile.mkdtemp(dir=book.checkout.parent))
    git(looked, "clone", "--quiet", "--branch", "gh-pages", book.url, ".")
    return {name: (looked / name).read_text(errors="replace") for name in names}


def publish(book: Cookbook, **files: str) -> None:
    """Commit files to the branch gh-pages."""
    pages = book.checkout.with_name("pages")
    git(book.server, "init", "--quiet", "--initial-branch=gh-pages", str(pages))
    for name, text in files.items():
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(text)
    git(pages, "add", "--all")
    git(pages, "commit", "--quiet", "--message", "Publish")
    git(pages, "push", "--quiet", book.url, "gh-pages")


def empty_workspace(job: Job) -> None:
    """Empty the workspace, because each job has its own runner."""
    job.folder = job.folder.with_name(f"{job.folder.name}-next")
    job.workspace = job.workspace.with_name(f"{job.workspace.name}-next")
    job.workspace.mkdir()


def test_a_site_is_built_in_a_session_and_published_next_to_previews(
    job: Job, book: Cookbook, github: GitHub, cache: Path, tmp_path: Path
) -> None:
    publish(book, **{"old.html": "old", "_preview/3/index.html": "a preview"})
    book.check_out(job, "main")
    built = run(job, "site.yml", "build", tmp_path / "artifacts")
    assert not built.failed, built.said
    empty_workspace(job)
    deployed = run(job, "site.yml", "deploy", tmp_path / "artifacts")
    assert not deployed.failed, deployed.said
    files = published(book)
    assert f"ran in {cache / 'sessions'}" in files["notebooks/where/index.html"]
    assert '<base href="/rain-gauge-cookbook/">' in files["index.html"]
    assert files["_preview/3/index.html"] == "a preview"
    assert ".nojekyll" in files
    assert "old.html" not in files


def test_the_first_site_creates_the_branch(job: Job, book: Cookbook, github: GitHub, tmp_path: Path) -> None:
    site = tmp_path / "artifacts" / "site"
    site.mkdir(parents=True)
    (site / "index.html").write_text("the site")
    deployed = run(job, "site.yml", "deploy", tmp_path / "artifacts")
    assert not deployed.failed, deployed.said
    assert published(book) == {".nojekyll": "", "index.html": "the site"}


def test_a_pull_request_from_a_fork_is_built_at_its_head(job: Job, book: Cookbook, cache: Path, tmp_path: Path) -> None:
    fork = book.fork("student/rain-gauge-cookbook")
    (fork.checkout / "notebooks" / "gauge.py").write_text("print('a gauge of the fork')\n")
    where = fork.checkout / "notebooks" / "where.ipynb"
    where.write_text(where.read_text().replace("from pathlib", "import gauge\\nfrom pathlib"))
    commit = fork.push("Count with another gauge")
    fork.check_out(job, commit)
    head = {"sha": commit, "repo": {"html_url": fork.url, "full_name": fork.name, "private": False}}
    job.event = ("pull_request", {**EVENT[1], "number": 12, "pull_request": {"number": 12, "head": head}})
    built = run(job, "preview-build.yml", "build", tmp_path / "artifacts")
    assert not built.failed, built.said
    page = (tmp_path / "artifacts/preview/notebooks/where/index.html").read_text()
    assert "a gauge of the fork" in page
    assert f"ran in {cache / 'sessions'}" in page
    assert '<base href="/rain-gauge-cookbook/_preview/12/">' in page


@pytest.fixture
def preview(job: Job, book: Cookbook, github: GitHub, tmp_path: Path) -> Path:
    """The artifact of a preview from a fork, with the event of the end of its workflow; returns its folder."""
    publish(book, **{"index.html": "the site", "_preview/12/old.html": "an older preview"})
    artifact = tmp_path / "artifacts" / "preview"
    artifact.mkdir(parents=True)
    (artifact / "index.html").write_text("a preview")
    origin = {"head_sha": COMMIT, "head_branch": "rain & sun", "head_repository": {"owner": {"login": "student"}}}
    about = {"event": "pull_request", "conclusion": "success", "id": 5, **origin}
    job.event = ("workflow_run", {**EVENT[1], "workflow_run": about})
    job.variables |= {"REPOSITORY_OWNER": "ProjectPythia"}
    github.answer({"/pulls": [{"number": 11, "head": {"sha": "d" * 40}}, {"number": 12, "head": {"sha": COMMIT}}]})
    return artifact


def deploy(job: Job, artifact: Path) -> WorkflowJob:
    return run(job, "preview-deploy.yml", "deploy", artifact.parent)


def test_a_preview_is_published_under_the_number_from_github(
    job: Job, book: Cookbook, github: GitHub, preview: Path
) -> None:
    deployed = deploy(job, preview)
    assert not deployed.failed, deployed.said
    assert published(book) == {"index.html": "the site", "_preview/12/index.html": "a preview"}
    assert deployed.outputs == {"number": "12"}
    ((asked, _),) = github.calls("api")
    assert asked[-1] == "head=student:rain & sun"


@pytest.mark.parametrize("first", [True, False], ids=["first", "again"])
def test_a_comment_on_the_pull_request_links_to_the_preview(
    job: Job, github: GitHub, preview: Path, first: bool
) -> None:
    github.answer({"--edit-last": None} if first else {})
    told = run(job, "preview-deploy.yml", "comment", preview.parent, needs={"deploy": {"outputs": {"number": "12"}}})
    assert not told.failed, told.said
    calls = [call for call, _ in github.calls("pr", "comment")]
    assert ["--edit-last" in call for call in calls] == ([True, False] if first else [True])
    assert calls[-1][2] == "12"
    assert f"{COMMIT}: https://ProjectPythia.github.io/rain-gauge-cookbook/_preview/12/" in calls[-1][-1]


def test_an_updated_or_closed_pull_request_gets_no_preview(
    job: Job, book: Cookbook, github: GitHub, preview: Path
) -> None:
    github.answer({"/pulls": [{"number": 12, "head": {"sha": "d" * 40}}]})
    before = published(book)
    deployed = deploy(job, preview)
    assert not deployed.failed
    assert deployed.outputs == {"number": ""}
    assert "Nothing to deploy" in deployed.said
    assert published(book) == before


def test_nothing_is_deployed_without_an_answer_from_github(
    job: Job, book: Cookbook, github: GitHub, preview: Path
) -> None:
    github.answer({"/pulls": None})
    before = published(book)
    assert deploy(job, preview).failed
    assert published(book) == before


@pytest.mark.parametrize("kind", ["a link", "a folder of git's", "a link in a folder"])
def test_a_preview_that_contains_more_than_regular_files_is_refused(
    job: Job, book: Cookbook, github: GitHub, preview: Path, kind: str
) -> None:
    if kind == "a folder of git's":
        (preview / ".GIT").mkdir()
        (preview / ".GIT" / "config").write_text("[core]\n")
    else:
        folder = preview / "deep" if "folder" in kind else preview
        folder.mkdir(exist_ok=True)
        (folder / "passwords").symlink_to("/etc/passwd")
    before = published(book)
    deployed = deploy(job, preview)
    assert deployed.failed
    assert "is not published" in deployed.said
    assert published(book) == before


def test_the_privileged_workflow_runs_no_code_of_the_pull_request() -> None:
    document = read_workflow(EXAMPLES / "preview-deploy.yml")
    assert document["permissions"] == {}
    used = [
        step["uses"].partition("@")[0] for job in document["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used == ["actions/download-artifact"]
    scripts = [step["run"] for job in document["jobs"].values() for step in job["steps"] if "run" in step]
    assert not [script for script in scripts if "${{" in script], "untrusted values must be passed in variables"
    started = read_workflow(EXAMPLES / "preview-build.yml")
    assert list(started["jobs"]["build"]["permissions"].items()) == [("contents", "read")]
    assert document["on"]["workflow_run"]["workflows"] == [started["name"]]


def test_a_nightly_run_builds_the_commit_that_was_checked_out(
    job: Job, book: Cookbook, served: Served, cache: Path, tmp_path: Path
) -> None:
    book.check_out(job, "main")
    job.event = ("schedule", {"schedule": "17 3 * * *"})
    document = read_workflow(EXAMPLES / "nightly.yml")
    (launch,) = [step for step in document["jobs"]["build"]["steps"] if "clinder-dev" in step.get("uses", "")]
    launch["with"]["hub-url"] = served.url
    github = {"server_url": book.server_url}
    contexts = {"github": github, "matrix": {"cookbook": NAME}}
    built = WorkflowJob(job, document, "build", contexts, tmp_path / "artifacts").run()
    assert not built.failed, built.said
    assert f"ran in {cache / 'sessions'}" in (job.workspace / "_build/html/notebooks/where/index.html").read_text()
    assert git(job.workspace, "rev-parse", "HEAD") in built.said


def test_a_nightly_run_tries_its_hubs_in_order(job: Job, hub: Server, tmp_path: Path) -> None:
    (step,) = [
        step
        for step in read_workflow(EXAMPLES / "nightly.yml")["jobs"]["build"]["steps"]
        if "clinder-dev" in step.get("uses", "")
    ]
    first, second = step["with"]["hub-url"].split(",")
    assert first.startswith("https://")
    assert second.strip().startswith("https://")
    launched = job.step(hub_url=f"http://127.0.0.1:9, {hub.url}", repo="org/name", retry_attempts="2")
    assert launched.main().status == 0
    launched.post()


NIGHT = "actions/runs/77/jobs"
RED = {"name": NAME, "conclusion": "failure", "html_url": "https://github.com/x/1"}
GREEN = {"name": "org/other", "conclusion": "success", "html_url": "https://github.com/x/2"}
REPORT = {"name": "report", "conclusion": None, "html_url": "https://github.com/x/3"}
OPEN = [
    {"number": 4, "title": "Cookbooks that do not build, perhaps"},
    {"number": 5, "title": "Cookbooks that do not build"},
]


@pytest.mark.parametrize(
    ("jobs", "issues", "verb", "number"),
    [
        ([RED, GREEN, REPORT], [], "create", None),
        ([RED, GREEN, REPORT], OPEN, "comment", "5"),
        ([GREEN, REPORT], OPEN, "close", "5"),
        ([GREEN, REPORT], OPEN[:1], None, None),
    ],
    ids=["opened", "updated", "closed", "none"],
)
def test_an_issue_lists_the_cookbooks_that_do_not_build(
    job: Job, github: GitHub, tmp_path: Path, jobs: list[Any], issues: list[Any], verb: str | None, number: str | None
) -> None:
    job.variables = {"SERVER_URL": "https://github.com", "REPOSITORY": "org/name", "RUN_ID": "77"}
    github.answer({NIGHT: {"jobs": jobs}, "issue list": issues})
    told = run(job, "nightly.yml", "report", tmp_path)
    assert not told.failed, told.said
    written = [(call, text) for call, text in github.calls("issue") if call[1] != "list"]
    assert [call[1] for call, _ in written] == ([verb] if verb else [])
    for call, text in written:
        assert number is None or call[2] == number
        if verb != "close":
            assert text.startswith("https://github.com/org/name/actions/runs/77\n")
            assert f"- [{NAME}](https://github.com/x/1): failure" in text
            assert "org/other" not in text


def test_no_issue_is_closed_without_an_answer_from_github(job: Job, github: GitHub, tmp_path: Path) -> None:
    job.variables = {"SERVER_URL": "https://github.com", "REPOSITORY": "org/name", "RUN_ID": "77"}
    github.answer({NIGHT: None, "issue list": OPEN})
    assert run(job, "nightly.yml", "report", tmp_path).failed
    assert github.calls("issue", "close") == []
