"""Private folders: no access leaves them, and files of other users are refused."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from clinder.system.folders import PrivateFolder, UntrustedFolderError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change the owner of files"
)
OTHER_USER = 4321


@pytest.fixture
def place(tmp_path: Path) -> PrivateFolder:
    return PrivateFolder(tmp_path / "own")


def owners(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_uid for path in [folder, *folder.rglob("*")]}


def test_a_new_folder_is_private_and_its_parents_are_created(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path / "a" / "b").within("c").make() as folder:
        folder.write("file", "x")
    assert [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("a/b", "a/b/c", "a/b/c/file")] == [
        0o700,
        0o700,
        0o600,
    ]


def test_opening_does_not_create_a_missing_folder(place: PrivateFolder) -> None:
    with pytest.raises(FileNotFoundError):
        place.within("inner").open()
    assert not place.path.exists()


def test_only_a_named_link_is_followed(place: PrivateFolder, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    place.path.symlink_to(tmp_path / "target")
    for use in (place.open, place.make, place.within("inner").make):
        with pytest.raises(UntrustedFolderError, match="it is a symbolic link"):
            use()
    with PrivateFolder(place.path, is_named=True).make() as folder:
        folder.write("file", "x")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["file"]


def test_an_inner_link_is_not_followed_in_a_named_folder(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "inner").symlink_to(tmp_path / "target")
    for use in (PrivateFolder.open, PrivateFolder.make):
        with pytest.raises(OSError, match="it is a symbolic link"):
            use(PrivateFolder(tmp_path / "own", is_named=True).within("inner"))


def test_a_file_is_not_a_folder(place: PrivateFolder) -> None:
    place.path.touch()
    with pytest.raises(NotADirectoryError, match="it is not a folder"):
        place.make()


def test_an_open_folder_is_used_even_if_its_path_is_replaced(place: PrivateFolder, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    with place.make() as folder:
        folder.write("old", "x")
        place.path.rename(tmp_path / "moved")
        place.path.symlink_to(tmp_path / "target")
        folder.write("new", "x")
        folder.remove("old")
        folder.make_folder("inner").close()
    assert sorted(path.name for path in (tmp_path / "moved").iterdir()) == ["inner", "new"]
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["old"]


def test_a_hard_link_is_replaced_without_changing_the_other_file(place: PrivateFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    with place.make() as folder:
        os.link(tmp_path / "precious", place.path / "file")
        os.link(tmp_path / "precious", place.path / f"file.{os.getpid()}.tmp")
        folder.write("file", "ours")
        assert folder.read("file", max_bytes=10) == b"ours"
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_failed_write_leaves_no_file(place: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_names: object, **_folders: object) -> None:
        raise PermissionError

    with place.make() as folder:
        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(PermissionError):
            folder.write("file", "x")
        assert folder.names() == []


# Owners


@needs_root
@pytest.mark.parametrize("is_named", [False, True])
def test_a_folder_of_another_user_is_only_used_if_named(tmp_path: Path, is_named: bool) -> None:
    os.chown(tmp_path, OTHER_USER, -1)
    place = PrivateFolder(tmp_path, is_named=is_named)
    if is_named:
        place.open().close()
        return
    with pytest.raises(UntrustedFolderError, match="belongs to another user"):
        place.open()


@needs_root
def test_a_foreign_file_or_folder_in_an_own_folder_is_refused(place: PrivateFolder) -> None:
    with place.make() as folder:
        folder.write("file", "x")
        folder.make_folder("inner").close()
        for name in ("file", "inner"):
            os.chown(place.path / name, OTHER_USER, -1)
        with pytest.raises(PermissionError, match="belongs to another user"):
            folder.open_file("file")
        with pytest.raises(OSError, match="belongs to another user"):
            folder.open_folder("inner")
        folder.write("file", "ours")
        assert folder.read("file", max_bytes=10) == b"ours"


@needs_root
@pytest.mark.parametrize("is_named", [False, True])
def test_files_of_root_belong_to_the_owner_of_the_folder(
    place: PrivateFolder, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    place.make().close()
    os.chown(place.path, OTHER_USER, OTHER_USER)
    if not is_named:
        monkeypatch.setenv("SUDO_UID", str(OTHER_USER))
    with PrivateFolder(place.path, is_named=is_named).open() as folder:
        folder.write("file", "x")
        os.close(folder.open_or_create_file("lock"))
        with folder.make_folder("inner") as inner:
            inner.write("deep", "x")
    assert set(owners(place.path).values()) == {OTHER_USER}


@needs_root
@pytest.mark.parametrize("caller", ["", "0", "nobody", "99999999999", str(OTHER_USER)])
def test_folders_created_under_sudo_belong_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    os.chown(tmp_path, OTHER_USER, OTHER_USER)
    monkeypatch.setenv("SUDO_UID", caller)
    with PrivateFolder(tmp_path / "own").make() as folder:
        folder.write("file", "x")
    assert set(owners(tmp_path / "own").values()) == {OTHER_USER if caller == str(OTHER_USER) else 0}
