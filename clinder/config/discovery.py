"""Discovery of hub, repository and ref in a folder: in `myst.yml`, an old `_config.yml`, and the git remote and branch.

The most specific source takes precedence: the Binder settings of a file, then git, then the general repository settings
of a file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clinder.config.loading import Value
from clinder.config.settings import LOCAL_HUB
from clinder.model.display import show_path, show_value
from clinder.model.errors import ClinderError, UsageError
from clinder.model.providers import LOCAL, PROVIDERS
from clinder.model.repository import read_repository
from clinder.model.wording import os_hint, os_reason
from clinder.system.git import reading, run_git
from clinder.system.trust import find_distrust
from clinder.system.untrusted import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT_HUB = "https://mybinder.org"
BUILD_ON_BINDER_TAG = "cookbook:build-on-binder"
_MYST_FILES = ("myst.yml", "myst.yaml")
_JUPYTER_BOOK_1_FILE = "_config.yml"
_GIT_TIMEOUT_S = 10
_THEME_OPTIONS = ("sphinx", "config", "html_theme_options")


@dataclass
class Discovery:
    """The result of a discovery.

    Attributes:
        values: the values by key (`hub`, `repo`, `ref`), with their sources.
        notes: further messages for the user, one sentence each.
    """

    values: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def offer(self, key: str, given: object, source: str) -> None:
        """Add a value, unless a more specific one was found or it is not a string."""
        if isinstance(given, str) and given.strip() and key not in self.values:
            self.values[key] = Value(given.strip(), source)

    def offer_repository(self, given: object, source: str, provider: object = None) -> bool:
        """Add a repository in any form, with the ref and the hub in it; return whether it was added."""
        if "repo" in self.values or not isinstance(given, str) or not given.strip():
            return False
        prefix = _provider_id(provider)
        try:
            link = read_repository(f"{prefix}:{given}" if prefix and "://" not in given else given)
        except ClinderError as error:
            self.notes.append(f"{source} is skipped: {error.message}")
            return False
        if link.provider == LOCAL:
            self.notes.append(f"{source} is skipped: it is a folder, which no hub can reach")
            return False
        self.offer("repo", link.text, source)
        self.offer("ref", link.ref, source)
        self.offer("hub", link.hub, source)
        return True


def _provider_id(thebe_name: object) -> str | None:
    """Get the id of a provider from its name in thebe, which `myst.yml` uses."""
    name = str(thebe_name).lower()
    return next((provider.id for provider in PROVIDERS.values() if provider.thebe_name == name), None)


def discover(folder: Path, *, hub: str | None = None, repo: str | None = None, ref: str | None = None) -> Discovery:
    """Discover hub, repository and ref for a folder.

    Args:
        folder: the folder to search.
        hub: takes precedence over what is found, as do `repo` and `ref`.
        repo: see `hub`.
        ref: see `hub`.

    Raises:
        UsageError: no repository is found, or a file cannot be read.
    """
    found = Discovery()
    for key, given in (("hub", hub), ("repo", repo), ("ref", ref)):
        found.offer(key, given, f"--{key}")
    if hub == LOCAL_HUB:
        found.offer("repo", ".", "this folder")
    myst_name = next((name for name in _MYST_FILES if os.path.isfile(folder / name)), _MYST_FILES[0])  # noqa: PTH113
    myst, book = _read(found, folder / myst_name), _read(found, folder / _JUPYTER_BOOK_1_FILE)
    _read_myst_binder(found, myst, myst_name)
    _read_book_binder(found, book, _JUPYTER_BOOK_1_FILE)
    _read_git(found, folder)
    found.offer_repository(_at(myst, "project", "github"), f"project.github, {myst_name}")
    _read_book_repository(found, book, _JUPYTER_BOOK_1_FILE)
    if "repo" not in found.values:
        raise UsageError(
            "\n  ".join(
                [
                    f"no repository was found in {show_path(folder)}: no git remote, myst.yml or _config.yml names one",
                    *found.notes,
                ]
            ),
            hint="Use --repo org/name, or --hub local to use this folder itself.",
        )
    found.offer("hub", DEFAULT_HUB, "default")
    return found


def _read(found: Discovery, path: Path) -> dict[str, Any]:
    """Read a YAML file; the result is empty if it does not exist or belongs to another user.

    Raises:
        UsageError: it cannot be read.
    """
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises without permission
        return {}
    from clinder.system.untrusted_yaml import read_yaml  # imports PyYAML

    try:
        if distrust := find_distrust(path):
            found.notes.append(distrust.reason)
            return {}
        document = read_yaml(path)
    except OSError as error:
        raise UsageError(f"{show_path(path)} cannot be read: {os_reason(error)}", hint=os_hint(error)) from error
    except UnreadableError as error:
        raise UsageError(f"{show_path(path)} {error}") from error
    return document if isinstance(document, dict) else {}


def _at(document: object, *keys: str) -> Any:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _read_myst_binder(found: Discovery, document: dict[str, Any], name: str) -> None:
    """Read the Binder settings in `myst.yml`: `project.jupyter.binder`, or one of three places used with thebe."""
    for keys in (("project", "jupyter"), ("project", "thebe"), ("site", "thebe"), ("thebe",)):
        binder = _at(document, *keys, "binder")
        source = f"{'.'.join(keys)}.binder, {name}"
        if isinstance(binder, str):
            found.offer_repository(binder, source)
        elif isinstance(binder, dict):
            if found.offer_repository(binder.get("repo"), source, binder.get("provider")):
                found.offer("ref", binder.get("ref"), source)
            found.offer("hub", binder.get("url"), source)
    found.offer_repository(_at(document, "project", "binder"), f"project.binder, {name}")
    tags = _at(document, "project", "tags")
    if isinstance(tags, list) and BUILD_ON_BINDER_TAG in tags:
        found.notes.append(f"the tag {BUILD_ON_BINDER_TAG} in {name} requests what clinder does: a build on a hub")


def _read_book_binder(found: Discovery, document: dict[str, Any], name: str) -> None:
    """Read the `_config.yml` of Jupyter Book 1: the hub of its launch buttons, and its execution mode.

    The cookbooks of Project Pythia have launch buttons and repository in their theme options.
    """
    for keys in ((), _THEME_OPTIONS):
        place = (*keys, "launch_buttons", "binderhub_url")
        found.offer("hub", _at(document, *place), f"{'.'.join(place)}, {name}")
    executed = _at(document, "execute", "execute_notebooks")
    if executed == "binder":
        found.notes.append(f"execute_notebooks: binder in {name}: `clinder run` replaces this")
    elif executed == "off" or executed is False:
        found.notes.append(f"execute_notebooks is off in {name}: a session is not needed unless you change this")
    timeout = _at(document, "execute", "timeout")
    if isinstance(timeout, int | float | str):
        found.notes.append(
            f"execute.timeout = {show_value(timeout)} in {name} is a limit for each cell, which clinder does not have: "
            "set it in the program that executes the notebooks"
        )


def _read_book_repository(found: Discovery, document: dict[str, Any], name: str) -> None:
    for url, branch in (
        (("repository", "url"), ("repository", "branch")),
        ((*_THEME_OPTIONS, "repository_url"), (*_THEME_OPTIONS, "repository_branch")),
    ):
        if found.offer_repository(_at(document, *url), f"{'.'.join(url)}, {name}"):
            found.offer("ref", _at(document, *branch), f"{'.'.join(branch)}, {name}")


def _read_git(found: Discovery, folder: Path) -> None:
    """Read the current branch and its upstream remote, else `origin`, else the first remote."""
    try:
        for name, url, branch in _remotes(folder):
            if found.offer_repository(url, f"git remote {name}"):
                found.offer("ref", branch, "git branch")
                return
    except OSError as error:
        found.notes.append(f"the git remotes of the folder cannot be read: {error}")


def _remotes(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, URL and branch of each remote, in order of precedence.

    Raises:
        OSError: git is not installed, or does not answer.
    """
    names = _git(folder, "remote").split()
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    followed = _git(folder, "config", "--get", f"branch.{branch}.remote") if branch else ""
    for name in _unique([followed, "origin", *names]):
        if name in names:
            # CI services put passwords into remotes. They must not get into a file that is committed.
            url = re.sub(r"^(https?://)[^/]*@", r"\1", _git(folder, "remote", "get-url", "--", name))
            yield name, url, branch


def _unique(names: list[str]) -> Iterator[str]:
    return iter(dict.fromkeys(name for name in names if name))


def _git(folder: Path, *arguments: str) -> str:
    """Run git; return its output, or an empty string if it fails."""
    answer = run_git(reading(folder, *arguments), timeout_s=_GIT_TIMEOUT_S)
    return answer.printed.strip() if answer.status == 0 else ""
