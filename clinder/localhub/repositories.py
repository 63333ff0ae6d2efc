"""Fetches commits of repositories that git can clone, and keeps them: a mirror for each, a checkout for each commit.

Text that comes from outside never becomes an option: URLs stand after `--`, refs inside of refspecs, and which
transports git may use is named.
"""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinder.localhub.cache import Cache, digest, private_folder, slug
from clinder.localhub.locks import acquire
from clinder.localhub.processes import ChildFailedError, ChildTimeoutError, Limits
from clinder.localhub.pruning import note_use
from clinder.system.git import (
    EVERY,
    NETWORK,
    REMOTE_TIMEOUT_S,
    in_mirror,
    in_own_checkout,
    pick_commit,
    read_listing,
    ref_names,
    without_repository,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from filelock import FileLock

    from clinder.localhub.processes import Children
    from clinder.model.repository import RepositorySpec
    from clinder.system.git import GitCall

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,40}")
_ASKING = Limits(total_s=REMOTE_TIMEOUT_S)
_LOCALLY = Limits(total_s=600)
_TRANSFERRING = Limits(total_s=3600, silence_s=120)
"""Progress is printed every second or so; a remote that keeps saying something still has to come to an end."""
_CHECKING_OUT = Limits(total_s=3600)
"""A single large file is written without a word."""


class UnresolvedError(Exception):
    """The repository cannot be asked; the message is git's."""


def git_output(call: GitCall, children: Children, limits: Limits = _LOCALLY) -> str:
    """Run git and return what it prints.

    Raises:
        ChildFailedError: git failed, or took too long; the message has the command without clinder's own settings.
        ClosedError: the hub was closed.
    """
    with _named_as_shown(call):
        return children.output(call.command, env=call.env, cwd=call.cwd, limits=limits)


def git_lines(call: GitCall, children: Children, limits: Limits) -> Iterator[str]:
    """Run git and yield what it prints; raises as `git_output` does."""
    with _named_as_shown(call):
        yield from children.lines(call.command, env=call.env, cwd=call.cwd, limits=limits)


@contextmanager
def _named_as_shown(call: GitCall) -> Iterator[None]:
    try:
        yield
    except ChildTimeoutError as error:
        raise ChildTimeoutError(call.shown, error.output) from error
    except ChildFailedError as error:
        raise ChildFailedError(call.shown, error.status, error.output) from error


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository as git knows it: where it is cloned from, and where it is shown."""

    url: str
    web: str

    @classmethod
    def of(cls, spec: RepositorySpec) -> Remote:
        """Get the remote of a spec that git can clone."""
        url = spec.clone_url or spec.repo
        return cls(url, spec.web_url or url)


class Repository:
    """One remote and what is kept of it."""

    def __init__(self, remote: Remote, cache: Cache, children: Children) -> None:
        self._remote = remote
        self._children = children
        self._folder = cache.repositories / f"{slug(remote.url)}-{digest(remote.url)}"
        self._mirror = self._folder / "mirror.git"

    def checkout(self, commit: str) -> Path:
        """Where this commit lies once it was fetched."""
        return self._folder / commit

    def resolve(self, ref: str) -> Generator[str, None, str | None]:
        """Find the commit that the ref stands for now; yields lines for the log.

        Returns:
            the commit; `None` where the repository knows no such ref.

        Raises:
            UnresolvedError: the repository does not answer.
            ClosedError: the hub was closed.
        """
        note_use(self._folder)
        if _COMMIT.fullmatch(ref) and self.checkout(ref).is_dir():
            return ref
        if found := pick_commit(self._listed(ref), ref):
            return found
        return (yield from self._commit(ref)) if _ABBREVIATED.fullmatch(ref) else None

    def fetch(self, commit: str) -> Generator[str, None, None]:
        """Fetch the commit and check it out, with its submodules; yields lines for the log.

        Raises:
            ChildFailedError: git failed.
            ClosedError: the hub was closed.
        """
        lock = yield from self._acquire()
        try:
            if self.checkout(commit).is_dir():
                return
            if not self._is_mirrored(commit):
                yield from self._update()
            partial = self._folder / f"partial-{secrets.token_hex(4)}"
            try:
                yield from self._check_out(commit, partial)
                partial.replace(self.checkout(commit))
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        finally:
            lock.release()

    def _acquire(self) -> Generator[str, None, FileLock]:
        waiting = "Another process fetches the same repository: waiting for it.\n"
        return acquire(self._folder, self._children, waiting)

    def _listed(self, ref: str) -> Mapping[str, str]:
        try:
            call = without_repository("ls-remote", "--", self._remote.url, *ref_names(ref))
            printed = git_output(call, self._children, _ASKING)
        except ChildTimeoutError as error:
            raise UnresolvedError(f"git did not finish within {_ASKING.total_s:g} s") from error
        except ChildFailedError as error:
            raise UnresolvedError(error.output.strip() or str(error)) from error
        return read_listing(printed)

    def _commit(self, ref: str) -> Generator[str, None, str | None]:
        """Find the commit whose name begins like this: only the objects themselves can tell."""
        lock = yield from self._acquire()
        try:
            found = self._parsed(ref)
            if found is None:
                try:
                    for _ in self._update(ref if _COMMIT.fullmatch(ref) else None):
                        pass
                except ChildFailedError:
                    # Many servers hand out no commit that is on no branch.
                    return self._parsed(ref)
                found = self._parsed(ref)
            return found
        finally:
            lock.release()

    def _parsed(self, ref: str) -> str | None:
        if not self._mirror.is_dir():
            return None
        try:
            call = in_mirror(self._mirror, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
            return git_output(call, self._children).strip()
        except ChildFailedError:
            return None

    def _is_mirrored(self, commit: str) -> bool:
        return self._parsed(commit) is not None

    def _update(self, commit: str | None = None) -> Iterator[str]:
        private_folder(self._folder)
        yield f"Cloning {self._remote.url}\n"
        if not (self._mirror / "HEAD").is_file():
            git_output(
                without_repository("init", "--quiet", "--bare", "--template=", str(self._mirror)), self._children
            )
        yield from self._fetch("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+HEAD:refs/clinder/HEAD")
        if commit and not self._is_mirrored(commit):
            yield from self._fetch(commit)

    def _fetch(self, *refspecs: str) -> Iterator[str]:
        options = ("--progress", "--prune", "--force", "--no-write-fetch-head")
        call = in_mirror(self._mirror, "fetch", *options, "--", self._remote.url, *refspecs)
        return git_lines(call, self._children, _TRANSFERRING)

    def _check_out(self, commit: str, target: Path) -> Iterator[str]:
        # Local clones link their objects: this costs no time and next to no space.
        for call in (
            without_repository(
                "clone", "--quiet", "--no-checkout", "--template=", "--", str(self._mirror), str(target)
            ),
            in_own_checkout(target, "remote", "set-url", "origin", self._remote.url),
            in_own_checkout(target, "-c", "advice.detachedHead=false", "checkout", "--detach", commit),
        ):
            yield from git_lines(call, self._children, _CHECKING_OUT)
        if (target / ".gitmodules").is_file():
            options = ("--init", "--recursive", "--progress")
            transports = submodule_protocols(self._remote.url)
            call = in_own_checkout(target, "submodule", "update", *options, transports=transports)
            yield from git_lines(call, self._children, _TRANSFERRING)


def submodule_protocols(url: str) -> str:
    """How the submodules of the repository at this URL may be fetched.

    A repository from elsewhere must not name folders of this machine as its submodules.
    """
    is_here = url.startswith("file:") or ("://" not in url and not re.match(r"[\w.-]+@", url))
    return EVERY if is_here else NETWORK
