"""Opening, reading and writing of files that another user may control."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from clinder.system import files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")


def test_a_regular_file_is_read_completely(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    assert files.read_regular(tmp_path / "file", max_bytes=3_000_000) == b"x" * 3_000_000


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link"):
        files.read_regular(tmp_path / "link", max_bytes=100)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with pytest.raises(OSError, match="not a regular file"):
            files.open_regular(tmp_path / "pipe", flags)


def test_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="folder"):
        files.open_regular(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        files.open_regular("/dev/zero")


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(OSError, match="larger than 4 bytes"):
        files.read_regular(tmp_path / "file", max_bytes=4)


def test_a_written_file_is_private_and_replaces_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    files.write_private(tmp_path / "file", "ours", durably=True)
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_text() == "ours"
    assert (tmp_path / "target").read_text() == "theirs"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "target"]


def test_the_owner_of_a_foreign_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.foreign_owner(tmp_path) is None
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        assert files.foreign_owner(tmp_path) is None  # root's files are trusted
        os.chown(tmp_path, 4321, -1)
        owner = 4321
    assert files.foreign_owner(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", str(owner))
    assert files.foreign_owner(tmp_path) is None
