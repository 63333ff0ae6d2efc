"""Discovery of hub, repository and ref for `init`, and the precedence of sources."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clinder.config.discovery import discover
from clinder.config.scaffold import write_config
from clinder.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

HUB = "https://hub.example.org"
BINDER_LINK = f"{HUB}/v2/gh/org/linked/dev"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A git checkout on the branch main, without remotes."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def found(folder: Path, **given: str) -> dict[str, str]:
    values = discover(folder, **given).values
    return {key: str(value.given) for key, value in values.items()}


MYST = [
    ("project:\n  jupyter:\n    binder: org/name\n", {"repo": "org/name", "hub": "https://mybinder.org"}),
    (f"project:\n  jupyter:\n    binder: {BINDER_LINK}\n", {"repo": "org/linked", "ref": "dev", "hub": HUB}),
    (
        f"project:\n  jupyter:\n    binder:\n      url: {HUB}\n      repo: org/name\n      ref: v1\n",
        {"repo": "org/name", "ref": "v1", "hub": HUB},
    ),
    (
        "project:\n  jupyter:\n    binder:\n      repo: group/sub/project\n      provider: gitlab\n",
        {"repo": "gl:group/sub/project", "hub": "https://mybinder.org"},
    ),
    (f"project:\n  thebe:\n    binder:\n      repo: org/t\n      url: {HUB}\n", {"repo": "org/t", "hub": HUB}),
    ("site:\n  thebe:\n    binder:\n      repo: org/t\n", {"repo": "org/t", "hub": "https://mybinder.org"}),
    ("thebe:\n  binder:\n    repo: org/t\n    ref: r\n", {"repo": "org/t", "ref": "r", "hub": "https://mybinder.org"}),
    (f"project:\n  binder: {BINDER_LINK}\n", {"repo": "org/linked", "ref": "dev", "hub": HUB}),
    ("project:\n  github: https://github.com/org/name\n", {"repo": "org/name", "hub": "https://mybinder.org"}),
    ("project:\n  github: org/name\n", {"repo": "org/name", "hub": "https://mybinder.org"}),
]


@pytest.mark.parametrize(("text", "expected"), MYST)
def test_myst_yml_names_hub_repository_and_ref(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    (tmp_path / "myst.yml").write_text(text)
    assert found(tmp_path) == expected


def test_the_most_specific_source_takes_precedence(folder: Path) -> None:
    (folder / "myst.yml").write_text("project:\n  github: org/general\n  jupyter:\n    binder: org/particular\n")
    git(folder, "remote", "add", "origin", "https://github.com/org/remote.git")
    assert found(folder)["repo"] == "org/particular"
    assert found(folder, repo="org/given")["repo"] == "org/given"
    (folder / "myst.yml").write_text("project:\n  github: org/general\n")
    assert found(folder)["repo"] == "org/remote"
    git(folder, "remote", "remove", "origin")
    assert found(folder)["repo"] == "org/general"


def test_a_jupyter_book_1_config_names_hub_repository_and_execution(tmp_path: Path) -> None:
    (tmp_path / "_config.yml").write_text(
        f"launch_buttons:\n  binderhub_url: {HUB}\n"
        "repository:\n  url: https://github.com/org/book\n  branch: trunk\n"
        "execute:\n  execute_notebooks: binder\n  timeout: 600\n"
    )
    discovered = discover(tmp_path)
    assert found(tmp_path) == {"hub": HUB, "repo": "org/book", "ref": "trunk"}
    assert any("execute_notebooks: binder" in note for note in discovered.notes)
    assert any("execute.timeout = 600" in note for note in discovered.notes)


def test_launch_buttons_in_theme_options_name_hub_and_repository(tmp_path: Path) -> None:
    (tmp_path / "_config.yml").write_text(
        "sphinx:\n  config:\n    html_theme_options:\n"
        "      repository_url: https://github.com/org/cookbook/\n      repository_branch: trunk\n"
        f"      launch_buttons:\n        binderhub_url: {HUB}\n        notebook_interface: jupyterlab\n"
    )
    assert found(tmp_path) == {"hub": HUB, "repo": "org/cookbook", "ref": "trunk"}


@pytest.mark.parametrize("off", ["off", "'off'", "false"])
def test_disabled_execution_is_noted(tmp_path: Path, off: str) -> None:
    (tmp_path / "_config.yml").write_text(
        f"repository:\n  url: https://github.com/org/book\nexecute:\n  execute_notebooks: {off}\n"
    )
    assert any("execute_notebooks is off" in note for note in discover(tmp_path).notes)


def test_the_cookbook_tag_is_noted(tmp_path: Path) -> None:
    (tmp_path / "myst.yml").write_text("project:\n  github: org/name\n  tags: [a, 'cookbook:build-on-binder']\n")
    assert any("cookbook:build-on-binder" in note for note in discover(tmp_path).notes)


@pytest.mark.parametrize(
    ("remote", "repo"),
    [
        ("https://github.com/org/name.git", "org/name"),
        ("https://github.com/org/name", "org/name"),
        ("git@github.com:org/name.git", "org/name"),
        ("ssh://git@github.com/org/name.git", "org/name"),
        ("https://gitlab.com/group/sub/project.git", "gl:group/sub/project"),
        ("https://git.example.org/team/x.git", "https://git.example.org/team/x.git"),
    ],
)
def test_git_remote_and_branch_give_repository_and_ref(folder: Path, remote: str, repo: str) -> None:
    git(folder, "remote", "add", "origin", remote)
    assert found(folder) == {"repo": repo, "ref": "main", "hub": "https://mybinder.org"}


@pytest.mark.parametrize(
    ("remote", "repo"),
    [
        ("https://me:s3cret@github.com/org/name.git", "org/name"),
        ("https://ci-token:s3cret@git.example.org/team/x.git", "https://git.example.org/team/x.git"),
    ],
)
def test_a_password_in_a_remote_is_removed(folder: Path, remote: str, repo: str) -> None:
    git(folder, "remote", "add", "origin", remote)
    discovered = discover(folder)
    assert discovered.values["repo"].given == repo
    assert "s3cret" not in repr(discovered)


def test_the_upstream_remote_precedes_origin_and_the_first_remote(folder: Path) -> None:
    git(folder, "remote", "add", "first", "https://github.com/org/first.git")
    assert found(folder)["repo"] == "org/first"
    git(folder, "remote", "add", "origin", "https://github.com/org/origin.git")
    assert found(folder)["repo"] == "org/origin"
    git(folder, "config", "branch.main.remote", "first")
    assert found(folder)["repo"] == "org/first"


def test_a_remote_that_no_hub_can_reach_is_skipped_with_a_note(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    git(folder, "remote", "add", "origin", str(tmp_path_factory.mktemp("bare")))
    (folder / "myst.yml").write_text("project:\n  github: org/name\n")
    discovered = discover(folder)
    assert discovered.values["repo"].given == "org/name"
    assert any("git remote origin is skipped" in note for note in discovered.notes)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs")
def test_a_hanging_git_is_killed_and_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".git" / "config").unlink()
    os.mkfifo(folder / ".git" / "config")
    monkeypatch.setattr("clinder.config.discovery._GIT_TIMEOUT_S", 0.2)
    with pytest.raises(UsageError, match=r"git remotes of the folder cannot be read: git did not finish within 0\.2 s"):
        discover(folder)


def test_a_missing_git_is_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    (folder / "myst.yml").write_text("project:\n  github: org/name\n")
    discovered = discover(folder)
    assert discovered.values["repo"].given == "org/name"
    assert "the git remotes of the folder cannot be read: git was not found on PATH" in discovered.notes


NO_VALUES = ["a: 2024-13-45", "a: !!timestamp x", "a: !!int ''", "a: !!bool x", "a: !!float x"]


@pytest.mark.parametrize("name", ["myst.yml", "_config.yml"])
@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\ta: 1", "%", "a: \x01", *NO_VALUES])
def test_invalid_yaml_is_a_usage_error_that_names_the_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=name) as caught:
        discover(tmp_path)
    assert caught.value.exit_status == 2


OTHER_SHAPES = [
    "",
    "[]",
    "project: 1",
    "project: [a]",
    "project: {jupyter: true}",
    "project: {jupyter: {binder: [1]}}",
    "project: {jupyter: {binder: {repo: 3, ref: {}}}}",
    "project: {tags: x, github: 5}",
    "thebe: {binder: ''}",
]


@pytest.mark.parametrize("text", OTHER_SHAPES)
def test_yaml_of_another_structure_is_ignored(folder: Path, text: str) -> None:
    (folder / "myst.yml").write_text(text)
    (folder / "_config.yml").write_text(text)
    git(folder, "remote", "add", "origin", "https://github.com/org/remote.git")
    assert found(folder)["repo"] == "org/remote"


def test_a_hint_helps_if_nothing_is_found(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "/srv/x")
    with pytest.raises(UsageError, match="no repository was found") as caught:
        discover(tmp_path)
    assert "git remote origin is skipped" in caught.value.message
    assert "--repo" in caught.value.hint
    assert found(tmp_path, hub="local") == {"hub": "local", "repo": "."}


def test_every_value_has_its_source(folder: Path) -> None:
    git(folder, "remote", "add", "origin", "https://github.com/org/name.git")
    values = discover(folder, hub=HUB).values
    assert {key: value.source for key, value in values.items()} == {
        "hub": "--hub",
        "repo": "git remote origin",
        "ref": "git branch",
    }


def test_the_file_is_only_overwritten_with_force(folder: Path) -> None:
    git(folder, "remote", "add", "origin", "https://github.com/org/name.git")
    values = discover(folder).values
    path = write_config(folder, values, force=False)
    assert 'repo = "org/name"' in path.read_text()
    path.write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        write_config(folder, values, force=False)
    assert path.read_text() == "mine"
    write_config(folder, values, force=True)
    assert 'ref = "main"' in path.read_text()
