"""Where the embedded hub keeps things: repositories, environments, session folders and the records of its servers.

Everything lies below one folder that only its owner can read. A folder that others can write to is not used: a record
of theirs would have one's own processes ended, an environment of theirs would be run.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from clinder.model.display import show_path
from clinder.model.errors import HubError, UsageError
from clinder.model.paths import absolute
from clinder.model.wording import os_hint, os_reason
from clinder.system.trust import find_distrust

_ENVIRONMENT = "CLINDER_CACHE_DIR"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def default_cache_dir() -> Path:
    """`CLINDER_CACHE_DIR`, or else clinder's folder where this platform keeps caches.

    Raises:
        HubError: that would be in a home folder, and nobody knows where that is.
    """
    given = os.environ.get(_ENVIRONMENT)
    try:
        return absolute(Path(given).expanduser()) if given else _usual_cache_dir()
    except RuntimeError as error:
        where = f"{_ENVIRONMENT}, {given}: there is no such user" if given else "the home folder: HOME does not name it"
        raise _unusable(where) from error
    except UsageError as error:
        raise _unusable(f"{_ENVIRONMENT}, {given}: {error.message}") from error


def _unusable(where: str, hint: str = "") -> HubError:
    return HubError(
        f"the embedded hub cannot keep anything in {where}",
        hint=hint or f"Set {_ENVIRONMENT} to a folder of your own.",
    )


def _usual_cache_dir() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(_home() / "AppData" / "Local")
        return Path(base) / "clinder" / "Cache"
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "clinder"
    # The XDG base directory specification has relative paths ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else _home() / ".cache") / "clinder"


def _home() -> Path:
    home = Path.home()
    # Python takes an empty HOME for `/`, and a relative one for a part of whatever folder is the current one.
    if os.environ.get("HOME") == "" or not home.is_absolute():
        raise RuntimeError
    return home


@dataclass(frozen=True, slots=True)
class Cache:
    """The embedded hub's folder, by what lies in it.

    The folders are made when they are asked for; each raises a `HubError` where nothing can be kept there.
    """

    root: Path

    @classmethod
    def at(cls, folder: Path | None) -> Cache:
        """The cache in this folder, or in the usual one; nothing is made yet.

        Raises:
            HubError: nobody knows where the usual one is.
        """
        return cls(absolute(folder) if folder else default_cache_dir())

    def check(self) -> None:
        """See that something can be kept here.

        Raises:
            HubError: it cannot; the message says why.
        """
        self._folder("sessions")

    @property
    def repositories(self) -> Path:
        """What was cloned: for each repository a mirror, and a checkout for each commit."""
        return self._folder("repositories")

    @property
    def environments(self) -> Path:
        """Built environments, by the hash of what they are built from."""
        return self._folder("environments")

    @property
    def sessions(self) -> Path:
        """For each session: its working copy, Jupyter's own folders and the server's log."""
        return self._folder("sessions")

    @property
    def servers(self) -> Path:
        """A record for each server that was started; it outlives the session's folder."""
        return self._folder("servers")

    def session(self, name: str) -> Path:
        """Where a session's folder lies, if there is one."""
        return self._checked("sessions") / name

    def record(self, name: str) -> Path:
        """Where a server's record lies, if there is one."""
        return self._checked("servers") / f"{name}.json"

    def kept(self, name: str) -> Path:
        """The file by which a server says that its session was handed over, once it was."""
        return self.root / "servers" / f"{name}.kept"

    def _folder(self, name: str) -> Path:
        try:
            private_folder(self.root)
            _check_own(self.root)
            folder = private_folder(self.root / name)
            _check_own(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise _unusable(f"{show_path(self.root)}: {os_reason(error)}", os_hint(error)) from error
        return folder

    def _checked(self, name: str) -> Path:
        """Check a folder that need not be there, and return it."""
        folder = self.root / name
        for path in (self.root, folder):
            try:
                _check_own(path)
            except FileNotFoundError:
                break
            except OSError as error:
                raise _unusable(f"{show_path(self.root)}: {os_reason(error)}", os_hint(error)) from error
        return folder


def private_folder(path: Path) -> Path:
    """Make the folder, open to its owner alone; one that is there stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _check_own(path: Path) -> None:
    """Check that a folder is one that no other user can put anything into; a link to it must be one's own, too.

    Raises:
        OSError: another user can; `strerror` says how.
    """
    if distrust := find_distrust(path):
        raise PermissionError(errno.EPERM, f"{show_path(distrust.part)} belongs to another user, {distrust.owner}")
    if os.name != "nt" and path.stat().st_mode & _OTHERS_WRITE:
        raise PermissionError(errno.EPERM, f"other users can write to {show_path(path)} (`chmod go-w` ends that)")


def slug(text: str, length: int = 40) -> str:
    """Letters, digits and dashes that remind of the text, for names of folders and in URLs."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[-length:].strip("-") or "repository"


def digest(*parts: str | bytes) -> str:
    """A hash over the parts, each taken with its length, so that no two lists collide by their borders."""
    content = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        content.update(len(data).to_bytes(8, "big"))
        content.update(data)
    return content.hexdigest()[:24]
