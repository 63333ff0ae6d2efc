"""Resolving refs with `git ls-remote`: the requested names and the chosen commit."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from clinder.model.errors import UnreachableError
from clinder.model.repository import RepositorySpec
from clinder.system.git import (
    RefGoneError,
    newest_commit,
    pick_commit,
    read_listing,
    reading,
    ref_names,
    run_git,
    without_repository,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("provider", "repo", "url"),
    [
        ("gh", "org/name", "https://github.com/org/name.git"),
        ("gl", "group/sub/project", "https://gitlab.com/group/sub/project.git"),
        ("gist", "user/0123abcd", "https://gist.github.com/0123abcd.git"),
        ("git", "https://example.org/x.git", "https://example.org/x.git"),
        ("zenodo", "10.5281/zenodo.1", None),
    ],
)
def test_a_repository_has_a_clone_url(provider: str, repo: str, url: str | None) -> None:
    assert RepositorySpec(provider, repo).clone_url == url


def test_a_branch_precedes_a_tag_and_its_commit_the_tag_object() -> None:
    printed = f"{A}\trefs/tags/v1\n{B}\trefs/tags/v1^{{}}\nwarning: noise\n"
    assert pick_commit(read_listing(printed), "v1") == B
    assert pick_commit(read_listing(printed + f"{C}\trefs/heads/v1\n"), "v1") == C
    assert pick_commit(read_listing(f"{A}\trefs/heads/other/v1\n"), "v1") is None


def test_head_and_full_ref_names_are_requested_unchanged() -> None:
    assert ref_names("HEAD") == ["HEAD"]
    assert "refs/pull/1/head" in ref_names("refs/pull/1/head")


@pytest.mark.parametrize(
    "spec",
    [RepositorySpec("gh", "org/name", A), RepositorySpec("zenodo", "10.5281/zenodo.1"), RepositorySpec("local", "/x")],
)
def test_a_fixed_ref_is_not_resolved(spec: RepositorySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("git was asked"))
    assert newest_commit(spec) is None


def test_a_missing_repository_gives_the_error_of_git(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not appear to be a git repository"):
        newest_commit(RepositorySpec("git", (tmp_path / "nowhere").as_uri(), "main"))


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")
@pytest.mark.parametrize(
    "names",
    [("GIT_SSH_COMMAND",), ("GIT_SSH",), ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0")],
    ids=["command", "program", "configuration"],
)
def test_the_ssh_command_of_the_user_is_kept(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = program(tmp_path / "ssh", f"touch {tmp_path}/called; exit 1")
    for name, value in zip(names, ("1", "core.sshCommand", ssh) if len(names) > 1 else (ssh,), strict=True):
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UnreachableError):
        newest_commit(RepositorySpec("git", "ssh://git@localhost/x", "main"))
    assert (tmp_path / "called").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_git_runs_in_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "git", '[ "$LC_ALL" = C ] && echo "fatal: why" >&2; echo advice >&2; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(UnreachableError, match=r"^main of .* cannot be resolved: why$"):
        newest_commit(RepositorySpec("git", "https://localhost/x", "main"))


def repository(folder: Path) -> RepositorySpec:
    """A repository with the single branch `main`."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder)]
    for command in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    return RepositorySpec("git", folder.as_uri(), "main")


def test_a_deleted_branch_differs_from_a_commit(tmp_path: Path) -> None:
    spec = repository(tmp_path)
    newest = newest_commit(spec)
    assert newest is not None
    with pytest.raises(RefGoneError):
        newest_commit(replace(spec, ref="gone"))
    assert newest_commit(replace(spec, ref=newest[:7])) is None, "an abbreviated commit is never listed"


def test_variables_do_not_redirect_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    for folder in (here, other):
        folder.mkdir()
        repository(folder)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    answer = run_git(reading(here, "rev-parse", "--absolute-git-dir"), timeout_s=60)
    assert answer.printed.strip() == str(here / ".git")


def test_a_missing_git_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="git is required"):
        newest_commit(RepositorySpec("git", tmp_path.as_uri(), "main"))


@pytest.mark.parametrize("url", ["ext::sh -c 'touch ran'", "--upload-pack=touch ran"])
def test_a_url_cannot_start_a_program(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    spec = RepositorySpec("git", "https://example.org/x", "main")
    object.__setattr__(spec, "repo", url)
    with pytest.raises(UnreachableError):
        newest_commit(spec)
    assert not (tmp_path / "ran").exists()


def wait_for(words: str, number: int) -> None:
    """Wait until exactly this many processes have these words in their command lines."""
    deadline = time.monotonic() + 10
    while True:
        lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        if len([line for line in lines if words in line]) == number:
            return
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)


@pytest.fixture
def silent_remote() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_a_silent_remote_times_out(scheme: str, silent_remote: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinder.system.git.REMOTE_TIMEOUT_S", 0.5)
    with pytest.raises(UnreachableError, match=r"cannot be resolved: git did not finish within 0\.5 s$"):
        newest_commit(RepositorySpec("git", f"{scheme}://127.0.0.1:{silent_remote}/x", "main"))
    wait_for(f"127.0.0.1:{silent_remote}", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_an_interrupted_git_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "git", "/bin/sleep 61.0625 & /bin/sleep 61.0625; :")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def interrupt(*_: object) -> None:
        wait_for("sleep 61.0625", 2)
        raise KeyboardInterrupt

    monkeypatch.setattr("clinder.system.git._Reader.join", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_git(without_repository("version"), timeout_s=60)
    wait_for("sleep 61.0625", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("stream", [1, 2])
def test_the_output_of_git_is_limited(stream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "git", f"while :; do echo {'x' * 4000}; done >&{stream}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    answer = run_git(without_repository("version"), timeout_s=60)
    assert answer.status != 0
    assert len(answer.printed + answer.errors) <= 2 * 1024 * 1024
    with pytest.raises(UnreachableError) as caught:
        newest_commit(RepositorySpec("git", "https://localhost/x", "main"))
    assert len(caught.value.message) < 1000
