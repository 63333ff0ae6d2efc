"""Trusted files: those of the current user, of root, and in folders that git trusts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from clinder.system.trust import Distrust, find_distrust
from unit.owners import ANYBODY, NAME, Owners, owners

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["owners"]


@pytest.fixture
def file(tmp_path: Path, owners: Owners) -> Path:
    """An own file, two levels deep in own folders."""
    folder = tmp_path / "checkout" / "docs"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    return folder / "file"


def trust(*entries: str) -> None:
    for entry in entries:
        subprocess.run(["git", "config", "--global", "--add", "safe.directory", entry], check=True)


def test_an_own_file_is_used(file: Path) -> None:
    assert find_distrust(file) is None
    assert find_distrust(file.parent) is None


def test_a_file_of_another_user_is_not_used(file: Path, owners: Owners) -> None:
    owners.give(file)
    distrust = find_distrust(file)
    assert distrust == Distrust(file, file, NAME)
    assert distrust.reason == f"{file} is not used: it belongs to another user, {NAME}"
    assert distrust.ways_out == "take ownership of it with chown"


def test_a_file_in_a_folder_of_another_user_is_not_used(file: Path, owners: Owners) -> None:
    owners.give(file.parent)
    distrust = find_distrust(file)
    assert distrust == Distrust(file, file.parent, NAME)
    assert "its folder belongs to another user" in distrust.reason
    assert f"`git config --global --add safe.directory {file.parent}`" in distrust.ways_out


def test_the_hint_names_the_checkout(file: Path, owners: Owners) -> None:
    (file.parents[1] / ".git").mkdir()
    owners.give(file, *file.parents[:2])
    distrust = find_distrust(file)
    assert distrust
    assert f"safe.directory {file.parents[1]}`" in distrust.ways_out


def test_a_link_of_another_user_is_not_followed(file: Path, owners: Owners) -> None:
    link = file.with_name("link")
    link.symlink_to("file")
    assert find_distrust(link) is None
    owners.give(link)
    assert find_distrust(link) == Distrust(link, link, NAME)


def test_an_own_link_to_a_file_of_another_user_is_not_used(file: Path, owners: Owners, tmp_path: Path) -> None:
    first, second = file.with_name("first"), tmp_path / "second"
    first.symlink_to(second)
    second.symlink_to(file)
    assert find_distrust(first) is None
    owners.give(file)
    distrust = find_distrust(first)
    assert distrust == Distrust(first, file, NAME)
    assert distrust.reason == f"{first} is not used: {file} belongs to another user, {NAME}"


def test_broken_and_circular_links_are_errors(tmp_path: Path, owners: Owners) -> None:
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(FileNotFoundError):
        find_distrust(tmp_path / "nowhere")
    with pytest.raises(OSError, match="symbolic links"):
        find_distrust(tmp_path / "circle")


@pytest.mark.parametrize("listed", ["{checkout}", "{checkout}/", "{checkout}/docs", "{parent}/*", "{checkout}/*", "*"])
def test_a_folder_that_git_trusts_is_used(file: Path, owners: Owners, tmp_path: Path, listed: str) -> None:
    owners.give(file, *file.parents[:2])
    trust("/elsewhere", listed.format(checkout=tmp_path / "checkout", parent=tmp_path))
    assert find_distrust(file) is None


@pytest.mark.parametrize(
    "listed", ["{parent}", "{checkout}/docs/file/*", "{checkout}/other", "checkout", ".", "~nobody-here/x"]
)
def test_an_entry_for_another_folder_has_no_effect(
    file: Path, owners: Owners, tmp_path: Path, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners.give(file, *file.parents[:2])
    monkeypatch.chdir(tmp_path)
    trust(listed.format(checkout=tmp_path / "checkout", parent=tmp_path))
    assert find_distrust(file)


def test_an_empty_entry_clears_the_list(file: Path, owners: Owners) -> None:
    owners.give(file, *file.parents[:2])
    trust("*", "")
    assert find_distrust(file)


def test_a_trusted_folder_only_trusts_its_owner(file: Path, owners: Owners, tmp_path: Path) -> None:
    owners.give(*file.parents[:2])
    owners.give(file, to=ANYBODY)
    trust(str(tmp_path / "checkout"))
    distrust = find_distrust(file)
    assert distrust
    assert distrust.part == file


def test_an_entry_that_is_a_link_means_its_target(file: Path, owners: Owners, tmp_path: Path) -> None:
    owners.give(file, *file.parents[:2])
    (tmp_path / "link").symlink_to("checkout")
    trust(str(tmp_path / "link"))
    assert find_distrust(file) is None


def test_the_configuration_of_the_repository_is_not_read(
    file: Path, owners: Owners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "checkout")], check=True)
    subprocess.run(["git", "-C", str(tmp_path / "checkout"), "config", "safe.directory", "*"], check=True)
    owners.give(file)
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "checkout" / ".git"))
    assert find_distrust(file)


def test_without_git_no_other_user_is_trusted(
    file: Path, owners: Owners, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trust("*")
    owners.give(file)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_distrust(file)


def test_the_workspace_of_a_github_job_is_trusted(
    file: Path, owners: Owners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners.give(file, *file.parents[:2])
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "checkout"))
    assert find_distrust(file) is None
    owners.give(file, to=ANYBODY)
    assert find_distrust(file)
