"""Running git safely, and resolving refs to commits. Only this module builds git command lines.

The configuration of a repository can name programs that git runs, and an untrusted checkout may be, or contain, such a
repository. Therefore remotes are queried outside of any repository, with only the configuration of the user and the
system. When a checkout is read, every setting that could start a program is overridden. Refs are resolved with
`git ls-remote`, not with the API of a site.
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
"""The network transports, as in `GIT_ALLOW_PROTOCOL`."""
EVERY = f"{NETWORK}:file"
"""The network transports and local folders. `ext::` is never allowed, because it runs a command."""
REMOTE_TIMEOUT_S = 60.0
"""The time limit for a remote to list its refs."""

_NO_TRANSPORT = "none"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,}")
_MOST_BYTES = 1024 * 1024
_LONGEST_REASON = 500
_LAST_WORDS_S = 1.0

# The user's settings for access to remotes and for tracing. All other variables of git could lead it to another
# repository, or change its output.
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
    # Otherwise git continues in the background after it has answered, without a time limit.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
)
# More than the read-only commands need. The most important restriction is that they have no transport: otherwise git
# would fetch the missing objects of a partial clone, with programs from its configuration that `-c` cannot override.
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
    """The repository has no such branch or tag."""


@dataclass(frozen=True, slots=True)
class GitCall:
    """A git command line with its environment.

    Attributes:
        command: the absolute path of git, the configuration set by clinder, and the arguments.
        shown: the command line for messages.
        env: the complete environment.
        cwd: the folder to start git in; unrelated to the repository.
    """

    command: tuple[str, ...]
    shown: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """The exit status, stdout and stderr of git; each output is truncated at 1 MiB."""

    status: int
    printed: str
    errors: str


def without_repository(*arguments: str, transports: str = EVERY) -> GitCall:
    """Prepare a call outside of any repository, regardless of the current folder.

    Only the configuration of the system and the user applies.

    Args:
        arguments: the arguments of git.
        transports: the transports that git may use.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return _call(arguments, _ALWAYS, transports, GIT_DIR=os.devnull)


def in_mirror(folder: Path, *arguments: str, transports: str = EVERY) -> GitCall:
    """Prepare a call in a bare repository that clinder created.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return _call(arguments, _ALWAYS, transports, GIT_DIR=str(folder.absolute()))


def in_own_checkout(folder: Path, *arguments: str, transports: str = EVERY) -> GitCall:
    """Prepare a call in a checkout that clinder created.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return _call(("-C", str(folder.absolute()), *arguments), _ALWAYS, transports)


def reading(folder: Path, *arguments: str) -> GitCall:
    """Prepare a call that reads the checkout around a folder, without running any program from its configuration.

    A bare repository in the checkout, or a repository of another user, is ignored (see git's `safe.bareRepository` and
    `safe.directory`). Nothing is fetched, not even the missing objects of a partial clone.

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
    """Find git on `PATH`; relative entries such as `.` are ignored, because they depend on the current folder."""
    name = "git.exe" if sys.platform == "win32" else "git"
    for folder in map(Path, os.get_exec_path()):
        program = folder / name
        if folder.is_absolute() and program.is_file() and os.access(program, os.X_OK):
            return program
    raise FileNotFoundError("git was not found on PATH")


def _environment() -> dict[str, str]:
    """Make the environment of git: without secrets, variables that change the repository, and prompts.

    The user decides how ssh is called (`GIT_SSH_COMMAND`, `GIT_SSH`, `core.sshCommand`); its password prompts are
    answered by a program that always fails. Messages are in English, because clinder parses them.
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
    """Run git; on a timeout, kill it together with the processes that it started.

    Raises:
        OSError: git cannot be started.
        TimeoutError: it did not finish in time, and was killed.
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
    """A thread that reads a stream to its end, or to the size limit."""

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
    # A new session has no terminal, so that ssh cannot prompt there.
    return {"start_new_session": True}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill git and the processes that it started, such as the one connected to the remote."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ref_names(ref: str) -> list[str]:
    """Get the ref names to pass to `git ls-remote`, in order of precedence."""
    if ref == "HEAD":
        return ["HEAD"]
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"]
    return [*names, ref] if ref.startswith("refs/") else names


def read_listing(printed: str) -> dict[str, str]:
    """Parse the output of `git ls-remote`: the commits by ref name."""
    pairs = (line.split("\t", 1) for line in printed.splitlines() if re.match(r"[0-9a-f]{40,64}\t", line))
    return {name: commit for commit, name in pairs}


def pick_commit(listing: Mapping[str, str], ref: str) -> str | None:
    """Choose the commit of a ref: a branch before a tag, the commit of an annotated tag before the tag object."""
    return next((listing[name] for name in ref_names(ref) if name in listing), None)


def newest_commit(spec: RepositorySpec) -> str | None:
    """Get the current commit of a spec's ref; `None` if git cannot tell, or if the ref is a commit.

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
        raise UnreachableError("git is required to check the branch", hint="Install git.") from None
    try:
        answer = run_git(call, timeout_s=REMOTE_TIMEOUT_S)
    except TimeoutError as error:
        raise UnreachableError(f"{spec.ref} of {url} cannot be resolved: {error}") from None
    except OSError as error:
        raise UnreachableError(
            f"{spec.ref} of {url} cannot be resolved: {os_reason(error)}", hint=os_hint(error)
        ) from None
    if answer.status != 0:
        raise UnreachableError(f"{spec.ref} of {url} cannot be resolved: {_reason(answer.errors)}")
    found = pick_commit(read_listing(answer.printed), spec.ref)
    if found is None and not _ABBREVIATED.fullmatch(spec.ref):  # an abbreviated commit is never listed
        raise RefGoneError
    return found


def _reason(printed: str) -> str:
    """Get the line of git's output that has the reason; advice follows it."""
    lines = printed.strip().splitlines() or ["git gave no reason"]
    line = next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), lines[-1])
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
