"""Project Pythia for the tests: a cookbook on a local git server, and the programs of a runner."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import CLINDER
from embedded import eventually, git, processes_of
from git_server import git_server
from pages import DOCS, blocks_of
from runner.expressions import fill_all
from runner.job import LIMIT_S
from runner.workflow import WorkflowJob, inputs_of, read_workflow
from tools import debian_package

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.job import Job

COOKBOOKS = Path(__file__).parent / "cookbooks"
NAME = "ProjectPythia/rain-gauge-cookbook"
PAGE = DOCS / "migrating-pythia.md"
EVENT = ("push", {"repository": {"full_name": NAME, "name": "rain-gauge-cookbook", "private": False}})

_CONDA = f"""#!{sys.executable}
import pathlib, sys, sysconfig, venv
prefix = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1])
if sys.argv[1] == "create":
    assert "rain_gauge" in pathlib.Path(sys.argv[sys.argv.index("--file") + 1]).read_text()
    venv.create(prefix, symlinks=True)
    (prefix / "conda-meta").mkdir()
    (packages,) = prefix.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    (packages / "rain_gauge.py").touch()
"""
_NPM = """#!/bin/sh
if [ "$1 $2" = "install --global" ]; then echo "npm was asked for $3"; else exec {npm} "$@"; fi
"""


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, myst: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs for hub and runner: a conda that borrows this interpreter, MyST, and an npm that does nothing."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, text in (("micromamba", _CONDA), ("npm", _NPM.format(npm=shutil.which("npm")))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "myst").symlink_to(myst)
    (folder / "clinder").symlink_to(CLINDER)
    for program in ("zip", "patch"):
        debian_package(program, program)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@dataclass(frozen=True)
class Cookbook:
    """A cookbook: its author's checkout, the server that it is pushed to, and its hub."""

    checkout: Path
    server: Path
    server_url: str
    name: str = NAME

    @property
    def url(self) -> str:
        return f"{self.server_url}/{self.name}"

    def push(self, message: str) -> str:
        """Commit all changes, push them, and return the commit."""
        if git(self.checkout, "status", "--porcelain"):
            git(self.checkout, "add", "--all")
            git(self.checkout, "commit", "--quiet", "--message", message)
        git(self.checkout, "push", "--quiet", self.url, "main")
        return git(self.checkout, "rev-parse", "HEAD")

    def fork(self, name: str) -> Cookbook:
        """Fork the cookbook under another name, with a separate checkout."""
        forked = Cookbook(self.checkout.with_name("fork"), self.server, self.server_url, name)
        git(self.server, "clone", "--quiet", "--bare", self.url, name)
        git(self.server, "clone", "--quiet", forked.url, str(forked.checkout))
        return forked

    def check_out(self, job: Job, commit: str) -> None:
        """Do what `actions/checkout` does on a runner."""
        git(job.workspace, "clone", "--quiet", self.url, ".")
        git(job.workspace, "checkout", "--quiet", commit)

    def use_theme_without_network(self) -> None:
        shutil.copytree(COOKBOOKS / "theme", self.checkout / "theme")
        for file in self.checkout.glob("*.yml"):
            file.write_text(file.read_text().replace("template: book-theme", "template: ./theme"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder of the repositories, and the URL under which git reaches it."""
    folder = tmp_path / "server"
    folder.mkdir()
    with git_server(folder) as url:
        yield folder, url


def cookbook(kind: str, server: tuple[Path, str], hub_url: str) -> Cookbook:
    """Set up and push the cookbook `today` or `binderbot`, with this hub and server instead of its own."""
    made = Cookbook(server[0].with_name("author"), *server)
    shutil.copytree(COOKBOOKS / kind, made.checkout)
    for file in made.checkout.glob("*.yml"):
        text = file.read_text().replace("https://binder.example.org", hub_url)
        file.write_text(text.replace(f"repo: {NAME}", f"repo: {made.url}"))
    git(made.checkout, "init", "--quiet", "--initial-branch=main")
    git(made.checkout, "remote", "add", "origin", made.url)
    git(made.server, "init", "--quiet", "--bare", "--initial-branch=main", NAME)
    made.push("Begin")
    return made


def commands_of(comment: str) -> str:
    """The commands that the migration page shows under this comment."""
    (block,) = [block for block in blocks_of(PAGE) if block.comment == comment]
    return block.text


def do_as_the_page_says(comment: str, folder: Path) -> str:
    """Run the commands of the page in a shell in this folder, and return their output."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands_of(comment)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(job: Job, workflow: Path, artifacts: Path, caller: Path | None = None) -> WorkflowJob:
    """Run the job of a shared workflow with the inputs of its caller."""
    document = read_workflow(workflow)
    github = {
        "event_name": job.event[0],
        "event": job.event[1],
        "repository": NAME,
        "server_url": job.environment["GITHUB_SERVER_URL"],
    }
    contexts: dict[str, Any] = {"github": github}
    given = {} if caller is None else read_workflow(caller)["jobs"]["build"].get("with", {})
    inputs = inputs_of(document, fill_all(given, contexts | {"failed": False}))
    contexts["inputs"] = fill_all(inputs, contexts | {"failed": False})
    run = WorkflowJob(job, document, "build", contexts, artifacts).run()
    eventually(lambda: not processes_of(job.workspace), "the server of the theme has ended")
    return run


def pages_of(artifact: Path, folder: Path) -> dict[str, str]:
    """Unpack the zipped book as `deploy-book.yaml` does, and return its pages by path."""
    with zipfile.ZipFile(artifact / "book.zip") as archive:
        archive.extractall(folder)
    html = folder / "_build" / "html"
    return {path.parent.relative_to(html).as_posix(): path.read_text() for path in html.rglob("index.html")}
