"""How git is asked, and what it knows of a repository elsewhere: which commit a ref stands for now.

That takes `git ls-remote`, and no site's API.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from clinder.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.repository import RepositorySpec

SITES = {"gh": "https://github.com", "gl": "https://gitlab.com", "gist": "https://gist.github.com"}
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,}")
_TRANSPORTS = "http:https:ssh:git:file"
_TIMEOUT_S = 60
_NOT_FOR_GIT = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX"
    r"|CONFIG|SHALLOW_FILE|GRAFT_FILE|QUARANTINE_PATH|ASKPASS|ALLOW_PROTOCOL)|SSH_ASKPASS|CLINDER_\w+|JUPYTER_TOKEN"
)


class RefGoneError(Exception):
    """The repository answers, and lists no such branch or tag."""


def for_git(protocols: str = _TRANSPORTS) -> dict[str, str]:
    """Make the environment that git gets: clinder's, but the place of another repository, and never a question.

    How ssh is called is the user's own matter (`GIT_SSH_COMMAND`, `GIT_SSH`, `core.sshCommand`); whatever it would
    ask, it asks a program that has no answer. Messages are in English, for those who read them here.

    Args:
        protocols: the transports that git may use, as `GIT_ALLOW_PROTOCOL` has it.
    """
    variables = {name: value for name, value in os.environ.items() if not _NOT_FOR_GIT.fullmatch(name)}
    return variables | {
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_TERMINAL_PROMPT": "0",
        "GCM_INTERACTIVE": "never",
        "SSH_ASKPASS": "false",
        "SSH_ASKPASS_REQUIRE": "force",
        "LC_ALL": "C",
    }


def ask_git(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run git to its end.

    Raises:
        OSError: it cannot be started; FileNotFoundError where it is not there.
        TimeoutExpired: it has not ended in time, and was killed.
    """
    return subprocess.run(
        ["git", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_s,
        check=False,
        env=for_git(),
    )


def clone_url(spec: RepositorySpec) -> str | None:
    """Say where git clones a spec's repository from; `None` where it cannot."""
    if site := SITES.get(spec.provider):
        repo = spec.repo.rpartition("/")[2] if spec.provider == "gist" else spec.repo
        return f"{site}/{repo}.git"
    return spec.repo if spec.provider in ("git", "local") else None


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
    url = clone_url(spec)
    if url is None or spec.provider == "local" or _COMMIT.fullmatch(spec.ref):
        return None
    try:
        done = ask_git("ls-remote", "--", url, *ref_names(spec.ref), timeout_s=_TIMEOUT_S)
    except FileNotFoundError:
        raise UnreachableError("git is needed to look at the branch", hint="Install git.") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{url} cannot be asked for {spec.ref}: {error}") from None
    if done.returncode != 0:
        raise UnreachableError(f"{url} cannot be asked for {spec.ref}: {_reason(done.stderr)}")
    found = pick_commit(read_listing(done.stdout), spec.ref)
    if found is None and not _ABBREVIATED.fullmatch(spec.ref):  # an abbreviated commit is never listed
        raise RefGoneError
    return found


def _reason(printed: str) -> str:
    """Find in what git prints the line that says why; after it comes advice."""
    lines = printed.strip().splitlines() or ["git does not say why"]
    return next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), lines[-1])
