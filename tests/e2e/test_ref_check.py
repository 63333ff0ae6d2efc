"""`--ref-check` reports whether the branch has new commits; `--latest` then replaces the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from books import kept_cache, place, servers
from commands import clinder
from embedded import checkout, commit, git

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["kept_cache", "place"]


@pytest.fixture
def repository(place: Path) -> Path:
    return checkout(place / f"project-{len(list(place.iterdir()))}" / "repository", notes__txt="first")


@pytest.fixture
def project(repository: Path) -> Path:
    folder = repository.parent
    declared = f'hub = "local"\nrepo = "{repository.as_uri()}"\nref = "main"\n[session]\nwarm = "off"\n'
    (folder / "clinder.toml").write_text(declared)
    return folder


def causes(project: Path, *options: str) -> list[tuple[str, str]]:
    document = clinder(project, "plan", "--json", *options).document
    return [(step["action"], step["cause"]) for step in document["steps"]]


def test_new_commits_are_reported_and_replace_the_session_on_request(
    project: Path, repository: Path, place: Path
) -> None:
    first = clinder(project, "up", "--json").document
    assert first["resolved_ref"] == git(repository, "rev-parse", "HEAD")
    assert causes(project, "--ref-check") == [("keep", "the session is running as declared")]
    assert clinder(project, "up", "--latest", "--json").document["action"] == "kept"

    commit(repository, notes__txt="second")
    newest = git(repository, "rev-parse", "HEAD")
    moved = f"main has moved from {first['resolved_ref'][:12]} to {newest[:12]}"
    assert causes(project) == [("keep", "the session is running as declared")], (
        "plan contacted the remote without being asked"
    )
    ((action, cause),) = causes(project, "--ref-check")
    assert action == "keep"
    assert moved in cause
    assert "clinder up --latest" in cause
    assert causes(project, "--latest")[0] == ("launch", moved)
    kept = clinder(project, "up", "--ref-check")
    assert moved in kept.stderr
    assert kept.stdout.strip() == first["url"]

    second = clinder(project, "up", "--latest", "--json").document
    assert (second["action"], second["resolved_ref"]) == ("replaced", newest)
    assert len(servers(place)) == 1
    clinder(project, "down")


def test_a_deleted_branch_is_reported_and_the_session_kept(project: Path, repository: Path) -> None:
    first = clinder(project, "up", "--json").document
    git(repository, "branch", "-m", "main", "other")
    for option in ("--latest", "--ref-check"):
        ((action, cause),) = causes(project, option)
        assert (action, "no longer has a branch or tag main" in cause) == ("keep", True)
    kept = clinder(project, "up", "--latest", "--quiet")
    assert kept.stdout.strip() == first["url"]
    assert "warning: the repository no longer has a branch or tag main" in kept.stderr
    clinder(project, "down")


def test_a_repository_that_does_not_answer_is_reported(project: Path, repository: Path) -> None:
    repository.rename(repository.with_name("away"))
    done = clinder(project, "plan", "--ref-check", expect=8)
    assert "cannot be resolved" in done.stderr


@pytest.mark.parametrize("arguments", [("plan", "--ref-check"), ("up", "--latest"), ("init", "--force")])
def test_a_bare_repository_in_a_clone_is_ignored(arguments: tuple[str, ...], repository: Path) -> None:
    """In a clone, nothing shows that one of its folders is a repository itself, with programs for git to run."""
    folder = repository / "looks-harmless"
    for name in ("objects", "refs"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    ran = repository.parent / "ran"
    (folder / "config").write_text(
        f"[core]\n\tbare = true\n\trepositoryFormatVersion = 0\n\tsshCommand = touch {ran}; false\n"
        f'\tfsmonitor = touch {ran}\n[url "ssh://git@localhost/"]\n\tinsteadOf = http://127.0.0.1:9/\n'
        '[remote "origin"]\n\turl = https://github.com/org/planted\n'
    )
    repo = "git:http://127.0.0.1:9/org/repo"
    (folder / "clinder.toml").write_text(f'hub = "http://127.0.0.1:9"\nrepo = "{repo}"\nref = "main"\n')
    done = clinder(folder, *arguments, expect=None)
    assert done.status != 0
    assert ("no repository was found" if arguments[0] == "init" else "127.0.0.1") in done.stderr
    assert not ran.exists()


def test_launching_a_checkout_runs_no_program_of_its_git_configuration(repository: Path) -> None:
    ran = repository.parent / "ran"
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "filter.x.clean"):
        git(repository, "config", key, f"touch {ran}")
    (repository / ".gitattributes").write_text("* filter=x\n")
    (repository / "clinder.toml").write_text('hub = "local"\nrepo = "."\n[session]\nwarm = "off"\n')
    assert clinder(repository, "up", "--json").document["action"] == "launched"
    clinder(repository, "down")
    assert not ran.exists()
