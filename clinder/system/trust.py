"""The ownership check for files and folders that were found rather than named.

Without it, anyone who can write to a parent of the current folder, such as `/tmp`, could control clinder. The rule is
that of git (git-config(1), `safe.directory`): files are used if they belong to the current user or to root, or are in a
folder that the user's git configuration lists. Files that an option or a variable names are not checked.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinder.model.display import show_path
from clinder.system.files import foreign_owner
from clinder.system.git import run_git, without_repository

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LINKS = 40
_GIT_TIMEOUT_S = 10.0
_EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Distrust:
    """The reason why a file or folder is not used.

    Attributes:
        path: the file or folder.
        part: the part that belongs to another user: the path itself, its folder, or the target of a link.
        owner: the name of that user.
    """

    path: Path
    part: Path
    owner: str

    @property
    def reason(self) -> str:
        """The reason, as a sentence."""
        it = "it" if self.part == self.path else "its folder" if self.part == self.path.parent else show_path(self.part)
        return f"{show_path(self.path)} is not used: {it} belongs to another user, {self.owner}"

    @property
    def ways_out(self) -> str:
        """The possible remedies, to follow "or"."""
        folder = _folder_to_list(self.part)
        if folder is None:
            return "take ownership of it with chown"
        listing = f"git config --global --add safe.directory {shlex.quote(show_path(folder))}"
        return f"trust that user's folder (`{listing}`), or take ownership of it with chown"


def find_distrust(path: Path) -> Distrust | None:
    """Get the reason not to use a file or folder; `None` if it may be used.

    The path and its folder are checked; for a symbolic link, so is every target.

    Raises:
        OSError: it cannot be inspected, or a link is broken.
    """
    trusted: list[str] | None = None
    for part in _parts(path):
        owner = foreign_owner(part)
        if owner is None:
            continue
        trusted = _trusted_folders() if trusted is None else trusted
        if not _is_trusted(part, trusted):
            return Distrust(path, part, owner)
    return None


def _parts(path: Path) -> Iterator[Path]:
    for _ in range(_MOST_LINKS):
        yield path
        yield path.parent
        if not stat.S_ISLNK(path.lstat().st_mode):
            return
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _trusted_folders() -> list[str]:
    """Get the folders that are trusted regardless of owner: those that git trusts, and the workspace of a GitHub job.

    Only git's user and system configuration is read: a repository cannot make itself trusted. In a job that runs in a
    container, the workspace belongs to a user of the host, and the `safe.directory` entry of `actions/checkout` is
    removed before the next step.
    """
    try:
        call = without_repository("config", "--null", "--get-all", "safe.directory")
        printed = run_git(call, timeout_s=_GIT_TIMEOUT_S).printed
    except OSError:
        printed = ""
    folders: list[str] = []
    for entry in printed.split("\0")[:-1]:
        folders = [*folders, entry] if entry else []  # an empty entry clears the list, as in git
    workspace = os.environ.get("GITHUB_WORKSPACE")
    return [*folders, workspace] if workspace else folders


def _is_trusted(part: Path, trusted: list[str]) -> bool:
    """Whether a path is in a trusted folder and has the same owner."""
    owner = part.lstat().st_uid
    place = Path(os.path.realpath(part.parent), part.name)
    for folder in (place, *place.parents):
        if any(_matches(folder, entry) for entry in trusted) and folder.lstat().st_uid == owner:
            return True
    return _EVERYTHING in trusted


def _matches(folder: Path, entry: str) -> bool:
    """Whether an entry of `safe.directory` matches a folder: the folder itself or, with a trailing `/*`, a parent."""
    named = Path(os.path.expanduser(entry.removesuffix("/*")))  # noqa: PTH111  # Path's fails for unknown users
    if not named.is_absolute():
        return False
    named = Path(os.path.realpath(named))
    return named in folder.parents if entry.endswith("/*") else named == folder


def _folder_to_list(part: Path) -> Path | None:
    """Choose the folder to suggest for `safe.directory`: the checkout, else the folder, if it has the same owner."""
    try:
        owner = part.lstat().st_uid
        place = Path(os.path.realpath(part.parent), part.name)
        folders = [folder for folder in (place, *place.parents) if folder.lstat().st_uid == owner and folder.is_dir()]
        checkout = next((folder for folder in folders if (folder / ".git").exists()), None)
    except OSError:
        return None
    return checkout or next(iter(folders), None)
