"""What a repository spec stands for: a commit of something git can clone, or a folder as it is now.

A folder that is a git checkout is its tracked files and those that are untracked and not ignored, with the
changes that they have now.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from clinder.localhub.cache import digest
from clinder.localhub.processes import ChildFailedError, ChildTimeoutError, Limits
from clinder.localhub.repositories import git_output
from clinder.system.git import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clinder.localhub.processes import Children

_ABOUT_A_FOLDER = Limits(total_s=60)
_PRIVATE = frozenset({".clinder", ".git"})


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a repository.

    Attributes:
        root: the folder that they lie in.
        commit: the commit that is checked out there, kept as it is; empty for a folder that may change.
    """

    root: Path
    commit: str = ""

    def copy_to(self, target: Path, children: Children, cache_root: Path) -> None:
        """Copy the files into a folder that is still to be made.

        Raises:
            ClosedError: the hub was closed.
        """
        if self.commit:

            def copy_file(source: str, copy: str) -> None:
                children.raise_if_closed()
                shutil.copy2(source, copy, follow_symlinks=False)

            shutil.copytree(self.root, target, symlinks=True, copy_function=copy_file)
            return
        target.mkdir(mode=0o700)
        for path in self.files(children, cache_root):
            copy = target / path.relative_to(self.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy2(path, copy, follow_symlinks=False)
            except FileNotFoundError:
                # Deleted since it was listed.
                continue

    def fingerprint(self, children: Children, cache_root: Path) -> str:
        """A hash that changes whenever a file does."""
        if self.commit:
            return self.commit
        parts: list[str | bytes] = []
        for path in sorted(self.files(children, cache_root)):
            try:
                mode = path.lstat().st_mode
                content = os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes()
            except FileNotFoundError:
                continue
            parts += [str(path.relative_to(self.root)), str(mode & 0o111), digest(content)]
        return digest(*parts)

    def files(self, children: Children, cache_root: Path) -> Iterator[Path]:
        """The files of a folder as it is now, links among them, less clinder's own state and cache.

        Raises:
            ClosedError: the hub was closed.
        """
        for path in _files(self.root, children, cache_root):
            children.raise_if_closed()
            yield path


def _files(folder: Path, children: Children, cache_root: Path) -> Iterator[Path]:
    if not (folder / ".git").exists() and not _is_tracked(folder, children):
        yield from _walk(folder, cache_root)
        return
    call = reading(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = git_output(call, children)
    for name in dict.fromkeys(filter(None, listed.split("\0"))):
        path = folder / name
        if not _lies_inside(name) or _PRIVATE.intersection(PurePath(name).parts) or path.is_relative_to(cache_root):
            continue
        if path.is_dir() and not path.is_symlink():
            # A submodule, or a checkout inside this one.
            yield from _files(path, children, cache_root)
        elif _is_file(path):
            yield path


def _lies_inside(name: str) -> bool:
    """Whether a name from a repository's index, which anyone may have written, is of something in its folder."""
    path = PurePath(name)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def _is_tracked(folder: Path, children: Children) -> bool:
    """Whether the folder is part of a checkout and not ignored by it."""
    try:
        inside = _ask(folder, children, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:  # git is not installed
        return False
    return inside == "true\n" and _ask(folder, children, "check-ignore", "--quiet", ".") is None


def _ask(folder: Path, children: Children, *arguments: str) -> str | None:
    """Ask git about a folder; `None` where it has no answer."""
    try:
        return git_output(reading(folder, *arguments), children, _ABOUT_A_FOLDER)
    except ChildTimeoutError:
        raise
    except ChildFailedError:
        return None


def _walk(folder: Path, cache_root: Path) -> Iterator[Path]:
    """Every file below a folder, less virtual environments: they are large and of no use elsewhere."""
    for path in sorted(folder.iterdir()):
        if path.name in _PRIVATE or path == cache_root:
            continue
        if path.is_dir() and not path.is_symlink():
            if not (path / "pyvenv.cfg").exists():
                yield from _walk(path, cache_root)
        elif _is_file(path):
            yield path


def _is_file(path: Path) -> bool:
    """Whether it is a file or a link: sockets and pipes cannot be copied."""
    return path.is_symlink() or path.is_file()
