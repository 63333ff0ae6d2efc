"""Starts git, and asks it which commit a ref stands for. No other module makes a command line of git.

The configuration of a repository can name programs that git runs, and a stranger's checkout may be one repository, or
hold another. So a remote is asked with no repository around, with the user's own configuration alone; and where a
checkout is read, whatever its configuration could start is switched off. Commits come from `git ls-remote`, and from no
site's API.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from clinder.model.errors import UnreachableError
from clinder.model.providers import LOCAL
from clinder.model.wording import os_hint, os_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.model.repository import RepositorySpec

NETWORK = "http:https:ssh:git"
"""The transports, as `GIT_ALLOW_PROTOCOL` names them, that lead to other machines."""
EVERY = f"{NETWORK}:file"
"""Those, and folders of this machine; never `ext::`, which is a command."""
REMOTE_TIMEOUT_S = 60.0
"""How long a remote may take to list its refs."""

_NO_TRANSPORT = "none"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,}")
_MOST_BYTES = 1024 * 1024
_LONGEST_REASON = 500
_LAST_WORDS_S = 1.0

# The user's own way to reach remotes, and to look at what git does. Every other variable of git's leads it to another
# repository, or changes what it prints.
_KEPT = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|PROXY_COMMAND|PROXY_SSL_\w+|SSL_\w+|HTTP_\w+|LFS_\w+|TRACE\w*|CURL_VERBOSE"
    r"|CONFIG_GLOBAL|CONFIG_SYSTEM|CONFIG_NOSYSTEM|CONFIG_COUNT|CONFIG_KEY_\d+|CONFIG_VALUE_\d+|CONFIG_PARAMETERS"
    r"|EXEC_PATH|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM)",
    re.IGNORECASE,
)
_NOT_FOR_GIT = re.compile(r"GIT_\w+|SSH_ASKPASS|CLINDER_\w+|JUPYTER_TOKEN|INPUT_.*", re.IGNORECASE)

_ALWAYS = (
    "safe.bareRepository=explicit",
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    # Else git goes on in the background once it has answered, beyond every time limit.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
)
# More than the commands that read need by now. What matters most is that they have no transport: else what a partial
# clone lacks would be fetched, by programs that its configuration names in ways that `-c` cannot override.
_READING = (
    "core.alternateRefsCommand=",
    "core.askPass=",
    "core.editor=false",
    "core.pager=cat",
    "core.sshCommand=false",
    "credential.helper=",
    "diff.external=",
    "gpg.program=false",
    "uploadpack.packObjectsHook=",
)


class RefGoneError(Exception):
    """The repository answers, and lists no such branch or tag."""


@dataclass(frozen=True, slots=True)
class GitCall:
    """A command line of git, ready to be started.

    Attributes:
        command: the program by its full path, the configuration that clinder sets, and the arguments.
        shown: the command line as messages show it.
        env: the whole environment.
        cwd: the folder to start it in. It says nothing about the repository.
    """

    command: tuple[str, ...]
    shown: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """What git came back with: its exit status, and what it printed, each cut off at 1 MiB."""

    status: int
    printed: str
    errors: str


def without_repository(*arguments: str, transports: str = EVERY) -> GitCall:
    """Prepare a call that has to do with no repository around: git finds none, wherever clinder is run.

    Its configuration is that of the system and of the user.

    Args:
        arguments: of git.
        transports: those that git may use.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return _call(arguments, _ALWAYS, transports, GIT_DIR=os.devnull)


def in_mirror(folder: Path, *arguments: str, transports: str = EVERY) -> GitCall:
    """Prepare a call for a bare repository that clinder made.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return _call(arguments, _ALWAYS, transports, GIT_DIR=str(folder.absolute()))


def in_own_checkout(folder: Path, *arguments: str, transports: str = EVERY) -> GitCall:
    """Prepare a call for a checkout that clinder made.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return _call(("-C", str(folder.absolute()), *arguments), _ALWAYS, transports)


def reading(folder: Path, *arguments: str) -> GitCall:
    """Prepare a call that reads the checkout which a folder lies in, whosever it is, and starts nothing that it names.

    A bare repository in that checkout, or one that belongs to another user, counts as none (git's
    `safe.bareRepository` and `safe.directory`). Nothing is fetched, not even what a partial clone lacks.

    Raises:
        FileNotFoundError: git is not installed.
    """
    place = ("-C", str(folder.absolute()))
    return _call((*place, *arguments), (*_ALWAYS, *_READING), _NO_TRANSPORT)


def _call(arguments: tuple[str, ...], settings: tuple[str, ...], transports: str, **variables: str) -> GitCall:
    program = _program()
    configured = [part for setting in settings for part in ("-c", setting)]
    env = _environment() | {"GIT_ALLOW_PROTOCOL": transports} | variables
    return GitCall((str(program), *configured, *arguments), ("git", *arguments), env, program.parent)


def _program() -> Path:
    """Find git on `PATH`, but not by entries that depend on the current folder, as `.`, nor in that folder."""
    name = "git.exe" if sys.platform == "win32" else "git"
    for folder in map(Path, os.get_exec_path()):
        program = folder / name
        if folder.is_absolute() and program.is_file() and os.access(program, os.X_OK):
            return program
    raise FileNotFoundError("git was not found on PATH")


def _environment() -> dict[str, str]:
    """Make the environment that git gets: clinder's, without what leads git elsewhere, and never a question.

    How ssh is called is the user's own matter (`GIT_SSH_COMMAND`, `GIT_SSH`, `core.sshCommand`); whatever it would
    ask, it asks a program that has no answer. Messages are in English, for those who read them here.
    """
    kept = {
        name: value for name, value in os.environ.items() if _KEPT.fullmatch(name) or not _NOT_FOR_GIT.fullmatch(name)
    }
    return kept | {
        "GIT_TERMINAL_PROMPT": "0",
        "GCM_INTERACTIVE": "never",
        "SSH_ASKPASS": "false",
        "SSH_ASKPASS_REQUIRE": "force",
        "LC_ALL": "C",
    }


def run_git(call: GitCall, *, timeout_s: float) -> GitAnswer:
    """Run git to its end; what it started ends with it, at the latest when the time is over.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it has not ended in time, and was killed.
    """
    deadline = time.monotonic() + timeout_s
    process = subprocess.Popen(
        call.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(call.env),
        cwd=call.cwd,
        **_own_group(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    printed, errors = _Reader(process.stdout), _Reader(process.stderr)
    try:
        printed.join(timeout_s)
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"git did not finish within {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            _kill(process)
    errors.join(_LAST_WORDS_S)
    return GitAnswer(status, printed.text, errors.text)


class _Reader(threading.Thread):
    """Reads a stream to its end, or as far as anyone wants to know."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._read = b""
        self.start()

    def run(self) -> None:
        with self._stream, suppress(OSError):
            self._read = self._stream.read(_MOST_BYTES)

    @property
    def text(self) -> str:
        return self._read.decode("utf-8", "replace")


def _own_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    # A session of its own has no terminal either, at which ssh could ask.
    return {"start_new_session": True}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill git and what it started: the program that talks to the remote would wait on without it."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ref_names(ref: str) -> list[str]:
    """Name what `git ls-remote` shall list for a ref, what counts most first."""
    if ref == "HEAD":
        return ["HEAD"]
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"]
    return [*names, ref] if ref.startswith("refs/") else names


def read_listing(printed: str) -> dict[str, str]:
    """Read what `git ls-remote` prints: by name, the commit."""
    pairs = (line.split("\t", 1) for line in printed.splitlines() if re.match(r"[0-9a-f]{40,64}\t", line))
    return {name: commit for commit, name in pairs}


def pick_commit(listing: Mapping[str, str], ref: str) -> str | None:
    """Choose the commit of a ref: a branch before a tag, an annotated tag's commit before the tag itself."""
    return next((listing[name] for name in ref_names(ref) if name in listing), None)


def newest_commit(spec: RepositorySpec) -> str | None:
    """Ask which commit the spec's ref stands for now; `None` where git cannot tell or the ref is a commit itself.

    Raises:
        RefGoneError: the repository has no such branch or tag.
        UnreachableError: the repository does not answer.
    """
    url = spec.clone_url
    if url is None or spec.provider == LOCAL or _COMMIT.fullmatch(spec.ref):
        return None
    try:
        call = without_repository("ls-remote", "--", url, *ref_names(spec.ref))
    except FileNotFoundError:
        raise UnreachableError("git is needed to look at the branch", hint="Install git.") from None
    try:
        answer = run_git(call, timeout_s=REMOTE_TIMEOUT_S)
    except TimeoutError as error:
        raise UnreachableError(f"{url} cannot be asked for {spec.ref}: {error}") from None
    except OSError as error:
        raise UnreachableError(
            f"{url} cannot be asked for {spec.ref}: {os_reason(error)}", hint=os_hint(error)
        ) from None
    if answer.status != 0:
        raise UnreachableError(f"{url} cannot be asked for {spec.ref}: {_reason(answer.errors)}")
    found = pick_commit(read_listing(answer.printed), spec.ref)
    if found is None and not _ABBREVIATED.fullmatch(spec.ref):  # an abbreviated commit is never listed
        raise RefGoneError
    return found


def _reason(printed: str) -> str:
    """Find in what git prints the line that says why; after it comes advice."""
    lines = printed.strip().splitlines() or ["git does not say why"]
    line = next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), lines[-1])
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
