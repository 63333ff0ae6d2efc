"""`--ref-check` asks the repository whether its branch has moved on; `--latest` replaces the session then."""

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


def test_a_branch_that_moves_on_is_seen_and_the_session_replaced_on_demand(
    project: Path, repository: Path, place: Path
) -> None:
    first = clinder(project, "up", "--json").document
    assert first["resolved_ref"] == git(repository, "rev-parse", "HEAD")
    assert causes(project, "--ref-check") == [("keep", "the session runs as declared")]
    assert clinder(project, "up", "--latest", "--json").document["action"] == "kept"

    commit(repository, notes__txt="second")
    newest = git(repository, "rev-parse", "HEAD")
    moved = f"main is now at {newest[:12]}, and {first['resolved_ref'][:12]} runs"
    assert causes(project) == [("keep", "the session runs as declared")], "nobody is asked unasked"
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


def test_a_branch_that_is_deleted_is_said_and_the_session_kept(project: Path, repository: Path) -> None:
    first = clinder(project, "up", "--json").document
    git(repository, "branch", "-m", "main", "other")
    for option in ("--latest", "--ref-check"):
        ((action, cause),) = causes(project, option)
        assert (action, "has no branch or tag main any more" in cause) == ("keep", True)
    kept = clinder(project, "up", "--latest", "--quiet")
    assert kept.stdout.strip() == first["url"]
    assert "warning: the repository has no branch or tag main any more" in kept.stderr
    clinder(project, "down")


def test_a_repository_that_does_not_answer_is_said(project: Path, repository: Path) -> None:
    repository.rename(repository.with_name("away"))
    done = clinder(project, "plan", "--ref-check", expect=8)
    assert "cannot be asked for main" in done.stderr
