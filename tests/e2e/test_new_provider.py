"""The provider that CONTRIBUTING adds as an example works everywhere with only its table entry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from embedded import LIMIT_S, cache, checkout, git, phases
from git_server import git_server
from hub_process import HubProcess
from pages import BLOCKS

from clinder.model import providers
from clinder.model.errors import UsageError
from clinder.model.events import Phase
from clinder.model.providers import PROVIDERS, Provider
from clinder.model.repository import RepositorySpec, read_repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["cache"]

READER, ENTRY = (
    block.text for block in BLOCKS if block.language == "python" and block.place.startswith("docs/CONTRIBUTING.md")
)
COMMAND = """
import sys
from clinder.cli import main
from clinder.model import providers

reader, entry = sys.argv[1:3]
del sys.argv[1:3]
exec(reader, vars(providers))
provider = eval(entry, vars(providers))
providers.PROVIDERS[provider.id] = provider
main()
"""
"""`clinder` with another provider: the parser of its web pages and its table entry come before the arguments."""


@pytest.fixture(autouse=True)
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The provider of the page, added to the table for one test."""
    names = dict(vars(providers))
    exec(READER, names)
    provider: Provider = eval(ENTRY, names)
    monkeypatch.setitem(PROVIDERS, provider.id, provider)
    return provider


@pytest.fixture
def repository(cache: Path, tmp_path: Path) -> Iterator[Path]:
    """`org/name` on the provider, which git redirects to a repository on this machine."""
    made = checkout(tmp_path / "served" / "org" / "name.git", where__txt="main\n")
    with git_server(tmp_path / "served") as url:
        git(made, "config", "--global", f"url.{url}/.insteadOf", "https://codeberg.org/")
        yield made


def clinder(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", COMMAND, READER, ENTRY, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def document(folder: Path, *arguments: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(clinder(folder, *arguments, "--json"))
    return printed


@contextmanager
def served() -> Iterator[HubProcess]:
    """`clinder hub serve` with the provider."""
    command = [sys.executable, "-c", COMMAND, READER, ENTRY, "hub", "serve", "--port", "0", "--keepalive", "1s"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    hub = HubProcess(process, re.findall(r"http://\S+", process.stderr.readline())[0])
    try:
        yield hub
    finally:
        process.terminate()
        for stream in hub.streams:
            stream.leave()
        process.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("codeberg:org/name", "HEAD"),
        ("codeberg:org/name.git", "HEAD"),
        ("codeberg:https://codeberg.org/org/name", "HEAD"),
        ("codeberg/org/name/feature/x", "feature/x"),
        ("https://codeberg.org/org/name", "HEAD"),
        ("https://codeberg.org/org/name.git", "HEAD"),
        ("https://codeberg.org/org/name/src/branch/feature/x", "feature/x"),
        ("https://codeberg.org/org/name/src/tag/v1", "v1"),
        ("git@codeberg.org:org/name.git", "HEAD"),
        ("ssh://git@codeberg.org/org/name", "HEAD"),
        ("https://mybinder.org/v2/codeberg/org/name/v1?urlpath=lab", "v1"),
    ],
)
def test_its_repositories_can_be_given_in_any_form(text: str, ref: str) -> None:
    spec = read_repository(text).spec()
    assert spec == RepositorySpec("codeberg", "org/name", ref)
    assert spec.build_path == f"codeberg/org/name/{ref}"
    assert RepositorySpec.from_build_path(spec.build_path) == spec


def test_its_addresses_come_from_its_entry() -> None:
    spec = RepositorySpec("codeberg", "org/name")
    assert spec.clone_url == "https://codeberg.org/org/name.git"
    assert spec.web_url == "https://codeberg.org/org/name"
    assert spec.commit_url("c0ffee") == "https://codeberg.org/org/name/src/commit/c0ffee"


def test_messages_name_it() -> None:
    with pytest.raises(UsageError, match="is not a repository of provider codeberg: expected org/name"):
        read_repository("codeberg:../..")
    with pytest.raises(UsageError) as caught:
        read_repository("?")
    assert "ckan, codeberg)" in caught.value.hint


def test_the_embedded_hub_builds_from_its_web_page_and_reports_the_repository(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    page = "https://codeberg.org/org/name/src/branch/main"
    session = document(tmp_path, "up", "--hub", "local", "--repo", page)
    try:
        assert (session["provider"], session["repo"], session["ref"]) == ("codeberg", "org/name", "main")
        assert session["resolved_ref"] == commit
        assert session["ref_url"] == f"https://codeberg.org/org/name/src/commit/{commit}"
        shown = document(tmp_path, "state", "show")
        assert shown["session"]["provider"] == "codeberg"
        plan = document(tmp_path, "plan", "--hub", "local", "--repo", "codeberg:org/name", "--ref", "main")
        assert not plan["changes"]
    finally:
        clinder(tmp_path, "down")


def test_init_finds_it_in_the_git_remote(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "work", a__txt="")
    git(folder, "remote", "add", "origin", "git@codeberg.org:org/name.git")
    clinder(folder, "init")
    assert 'repo = "codeberg:org/name"' in (folder / "clinder.toml").read_text()


def test_hub_serve_lists_it_and_launches_its_repositories(repository: Path, tmp_path: Path) -> None:
    with served() as hub:
        listed = {each["id"]: each for each in hub.get("/api/repoproviders").json()}
        assert listed["codeberg"]["displayName"] == listed["codeberg"]["repo"]["label"] == "Codeberg"
        assert listed["codeberg"]["ref"] == {"enabled": True, "default": "HEAD"}
        assert not listed["codeberg"]["repo"]["urlEncode"]
        assert document(tmp_path, "hub", "check", hub.url)["providers"] == [*listed]
        stream = hub.build(RepositorySpec("codeberg", "org/name", "main"))
        assert stream.session().text("where.txt") == "main\n"
        assert phases(stream.events)[-1] is Phase.READY
        assert stream.events[-1].details["repo_url"] == "https://codeberg.org/org/name"


def test_a_hub_without_its_entry_does_not_know_it() -> None:
    del PROVIDERS["codeberg"]
    assert read_repository("https://codeberg.org/org/name").provider == "git"
    with pytest.raises(UsageError, match="unknown repository provider 'codeberg'"):
        RepositorySpec("codeberg", "org/name")
