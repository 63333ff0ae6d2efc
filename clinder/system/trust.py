"""Whether a file or folder that was found may be used: not if it belongs to another user, unless that is trusted.

Anybody who can write into a folder above the user's own, such as `/tmp`, could otherwise tell clinder what to do. The
rule is git's (git-config(1), `safe.directory`): a user's own files are used, those of root, and those in folders that
the user's git configuration lists. What an option or a variable names is used without this check.
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
    """Why something is not used.

    Attributes:
        path: what was found.
        part: what of it belongs to somebody else: itself, the folder that it is in, or what a link leads to.
        owner: the name of that user.
    """

    path: Path
    part: Path
    owner: str

    @property
    def reason(self) -> str:
        """What is wrong, as a sentence."""
        it = "it" if self.part == self.path else "its folder" if self.part == self.path.parent else show_path(self.part)
        return f"{show_path(self.path)} is not used: {it} belongs to another user, {self.owner}"

    @property
    def ways_out(self) -> str:
        """What to do about it, beside naming it; to follow `or`."""
        folder = _folder_to_list(self.part)
        if folder is None:
            return "make it yours with chown"
        listing = f"git config --global --add safe.directory {shlex.quote(show_path(folder))}"
        return f"trust that user's folder (`{listing}`), or make it yours with chown"


def find_distrust(path: Path) -> Distrust | None:
    """Find what speaks against using a file or folder that was found; `None` if it may be used.

    Looked at are the thing itself, the folder that it is in and, of a symbolic link, the same of all that it leads to.

    Raises:
        OSError: it cannot be looked at, or its links lead nowhere.
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
    """Name the folders that may belong to others: those that git trusts, and the checkout that a GitHub job is about.

    git is asked for the user's and the machine's configuration alone: what a repository says of itself is worth nothing
    here. In a job that runs in a container, the runner's folder belongs to a user of the machine around it, and the
    entry that `actions/checkout` makes for git is gone by the next step.
    """
    try:
        call = without_repository("config", "--null", "--get-all", "safe.directory")
        printed = run_git(call, timeout_s=_GIT_TIMEOUT_S).printed
    except OSError:
        printed = ""
    folders: list[str] = []
    for entry in printed.split("\0")[:-1]:
        folders = [*folders, entry] if entry else []  # an empty one takes back those before it
    workspace = os.environ.get("GITHUB_WORKSPACE")
    return [*folders, workspace] if workspace else folders


def _is_trusted(part: Path, trusted: list[str]) -> bool:
    """Whether it lies in a trusted folder, and belongs to the one to whom that folder belongs."""
    owner = part.lstat().st_uid
    place = Path(os.path.realpath(part.parent), part.name)
    for folder in (place, *place.parents):
        if any(_matches(folder, entry) for entry in trusted) and folder.lstat().st_uid == owner:
            return True
    return _EVERYTHING in trusted


def _matches(folder: Path, entry: str) -> bool:
    """Whether an entry of `safe.directory` means this folder: it names it, or with `/*` at its end one above it."""
    named = Path(os.path.expanduser(entry.removesuffix("/*")))  # noqa: PTH111  # Path's raises for users unknown
    if not named.is_absolute():
        return False
    named = Path(os.path.realpath(named))
    return named in folder.parents if entry.endswith("/*") else named == folder


def _folder_to_list(part: Path) -> Path | None:
    """Choose what to list in `safe.directory`: the checkout, else the folder, if it belongs to the same user."""
    try:
        owner = part.lstat().st_uid
        place = Path(os.path.realpath(part.parent), part.name)
        folders = [folder for folder in (place, *place.parents) if folder.lstat().st_uid == owner and folder.is_dir()]
        checkout = next((folder for folder in folders if (folder / ".git").exists()), None)
    except OSError:
        return None
    return checkout or next(iter(folders), None)
