"""A first `clinder.toml` for a folder, from what the folder shows: its git remote and branch."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from clinder.config import FILE_NAME, LOCAL_HUB, Value, load_config
from clinder.errors import UsageError
from clinder.repository import LOCAL, read_repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DEFAULT_HUB = "https://mybinder.org"
_GIT_TIMEOUT_S = 10


def discover(
    folder: Path, *, hub: str | None = None, repo: str | None = None, ref: str | None = None
) -> dict[str, Value]:
    """Find hub, repository and ref for a folder; each with where it was found.

    Args:
        folder: where to look.
        hub: wins over what is found, as do `repo` and `ref`.
        repo: see `hub`.
        ref: see `hub`.

    Raises:
        UsageError: no repository is found, or what is given or found will not do.
    """
    found: dict[str, Value] = {}
    if repo:
        found["repo"] = Value(repo, "--repo")
    elif hub == LOCAL_HUB:
        found["repo"] = Value(".", "this folder")
    else:
        name, url = _remote(folder)
        link = read_repository(url)
        if link.provider == LOCAL:
            raise UsageError(
                f"the git remote {name} is a folder, which no hub can reach", hint="Give --repo, or --hub local."
            )
        short = link.repo if link.provider in ("gh", "git") else f"{link.provider}:{link.repo}"
        found["repo"] = Value(short, f"git remote {name}")
        if not ref and (branch := _branch(folder)):
            found["ref"] = Value(branch, "git branch")
    if ref:
        found["ref"] = Value(ref, "--ref")
    link = read_repository(str(found["repo"].given), base=folder)
    if hub or not link.hub:
        found["hub"] = Value(hub, "--hub") if hub else Value(_DEFAULT_HUB, "default")
    load_config(options={key: value.given for key, value in found.items()}, environment={})
    return {key: found[key] for key in ("hub", "repo", "ref") if key in found}


def _remote(folder: Path) -> tuple[str, str]:
    """Name the remote that the branch follows, else `origin`, else the only one; and its URL."""
    names = _git(folder, "remote").split()
    branch = _branch(folder)
    followed = _git(folder, "config", "--get", f"branch.{branch}.remote") if branch else ""
    for name in (followed, "origin", *names[:1]):
        if name in names and (url := _git(folder, "remote", "get-url", name)):
            return name, url
    raise UsageError(
        f"{folder} has no git remote to take the repository from",
        hint="Give --repo org/name; or --hub local to use this folder itself.",
    )


def _branch(folder: Path) -> str:
    return _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    """Ask git; empty where it has no answer."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def write_config(folder: Path, found: Mapping[str, Value], *, force: bool) -> Path:
    """Write `clinder.toml`; an existing one is left alone unless `force`.

    Raises:
        UsageError: there is one already, or it cannot be written.
    """
    import tomli_w

    path = folder / FILE_NAME
    lines = ["# What `clinder up` makes so. Every key: `clinder.toml.example` in clinder's documentation.\n"]
    lines += [tomli_w.dumps({key: value.given}) for key, value in found.items()]
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write("".join(lines))
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="--force overwrites it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path
