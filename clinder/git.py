"""What git knows of a repository elsewhere: which commit a ref stands for now (`git ls-remote`, no site's API)."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from clinder.errors import UnreachableError
from clinder.hidden import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.repository import RepositorySpec

SITES = {"gh": "https://github.com", "gl": "https://gitlab.com", "gist": "https://gist.github.com"}
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_TRANSPORTS = "http:https:ssh:git:file"
_TIMEOUT_S = 60


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
        UnreachableError: the repository does not answer.
    """
    url = clone_url(spec)
    if url is None or spec.provider == "local" or _COMMIT.fullmatch(spec.ref):
        return None
    command = ["git", "ls-remote", "--", url, *ref_names(spec.ref)]
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _TRANSPORTS, "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=without_secrets() | quiet
        )
    except FileNotFoundError:
        raise UnreachableError("git is needed to look at the branch", hint="Install git.") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{url} cannot be asked for {spec.ref}: {error}") from None
    if done.returncode != 0:
        raise UnreachableError(f"{url} cannot be asked for {spec.ref}: {_reason(done.stderr)}")
    return pick_commit(read_listing(done.stdout), spec.ref)


def _reason(printed: str) -> str:
    """Find in what git prints the line that says why; after it comes advice."""
    lines = printed.strip().splitlines() or ["git does not say why"]
    return next((line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")), lines[-1])
