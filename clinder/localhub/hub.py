"""The embedded hub: resolves, fetches, builds and launches, and tells of it as a BinderHub does.

Each of the four steps stands on its own, since `clinder.localhub.http` shares builds among its clients and launches
apart from them; `LocalHub.events` is all of them in a row.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from clinder.localhub import records
from clinder.localhub.cache import Cache, digest, slug
from clinder.localhub.environment import (
    EnvironmentFailedError,
    Environments,
    Installer,
    Recipe,
    read_recipe,
)
from clinder.localhub.processes import ChildFailedError, Children, ClosedError
from clinder.localhub.pruning import prune
from clinder.localhub.repositories import Remote, Repository, UnresolvedError
from clinder.localhub.server import LaunchFailedError, Server, discard, start
from clinder.localhub.source import Tree
from clinder.model.errors import HubError
from clinder.model.events import Event, Phase
from clinder.model.providers import LOCAL
from clinder.model.repository import DEFAULT_REF, RepositorySpec

if TYPE_CHECKING:
    from clinder.localhub.environment import Environment

_Result = TypeVar("_Result")
Steps: TypeAlias = Generator[Event, None, _Result]

_MODULES = ("jupyter_server", "ipykernel")
_DEFAULT_BRANCHES = ("main", "master")
_NO_ISOLATION = (
    "The embedded hub isolates nothing: the session runs as you, on this machine, with access to all your files.\n"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec and what it stands for now.

    Attributes:
        spec: with the ref that is really used.
        commit: empty for a folder as it is.
        remote: what it is cloned from and where it is shown.
        image: the name of the image that comes of it.
    """

    spec: RepositorySpec
    commit: str
    remote: Remote
    image: str

    @property
    def ref_url(self) -> str:
        """The commit's web page; where there is none, the repository itself, as BinderHub does for git URLs."""
        return (self.commit and self.spec.commit_url(self.commit)) or self.remote.web


@dataclass(frozen=True, slots=True)
class Image:
    """A repository that is fetched and whose environment is built."""

    of: Resolved
    tree: Tree
    recipe: Recipe
    environment: Environment


class FailedError(Exception):
    """A step failed; the event that a hub sends for it is `event`."""

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message)
        text = message if message.endswith("\n") else f"{message}\n"
        self.event = Event(Phase.FAILED, text, status_code=status_code)


class LocalHub:
    """Takes a repository, builds its environment, starts a real Jupyter Server in a process of its own.

    It isolates nothing: it is for trying clinder, for working offline and for tests.
    """

    def __init__(
        self,
        cache_dir: Path | None = None,
        *,
        installer: Installer = "auto",
    ) -> None:
        """Prepare; nothing is made or started yet.

        Args:
            cache_dir: where everything is kept; `CLINDER_CACHE_DIR` or the platform's cache folder if left out.
            installer: what builds environments; `auto` is uv where it is found, else venv and pip.

        Raises:
            HubError: the extra `local` is not installed, or nobody knows where the cache folder is.
        """
        missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
        if missing:
            raise HubError(
                f"the embedded hub needs {' and '.join(missing)}, which cannot be imported",
                hint="pip install 'clinder[local]'",
            )
        self._cache = Cache.at(cache_dir)
        self._installer: Installer = installer
        self._open()

    def events(self, spec: RepositorySpec) -> Steps[None]:
        """Launch: yields the events of a BinderHub's stream, the last of them `ready` or `failed`.

        Leaving the iterator before `ready` ends whatever was under way, be it a build or a server.

        Raises:
            HubError: nothing can be kept in the cache folder.
        """
        if self._children.is_closed:
            self._open()
        return self._events(spec)

    def _events(self, spec: RepositorySpec) -> Steps[None]:
        try:
            resolved = yield from self.resolve(spec)
            image = self.find_image(resolved)
            message = "Found built image, launching...\n"
            if image is None:
                yield Event(Phase.WAITING, "Waiting for build to start...\n")
                image = yield from self.build(resolved)
                message = "Built image, launching...\n"
            yield Event(Phase.BUILT, message, image=resolved.image)
            yield from self.launch(image)
        except FailedError as error:
            yield error.event
        except ClosedError:
            yield Event(Phase.FAILED, "The embedded hub was closed.\n")

    def _open(self) -> None:
        # Anew, not opened again: what was under way must still see that it was closed.
        self._children = Children()
        self._environments = Environments(self._cache, self._children, self._installer)

    def check(self) -> None:
        """See that what is launched can be kept somewhere.

        Raises:
            HubError: it cannot.
        """
        self._cache.check()

    def close(self) -> None:
        """End all that is under way, from any thread; sessions that are ready go on, and `events` may begin anew.

        Takes some seconds where what is under way does not end when it is asked to.
        """
        self._children.close()

    def resolve(self, spec: RepositorySpec) -> Steps[Resolved]:
        """Find out which commit the spec stands for.

        Raises:
            FailedError: it stands for none, or its repository does not answer.
            ClosedError: the hub was closed.
            HubError: nothing can be kept in the cache folder.
        """
        self._children.raise_if_closed()
        self.check()
        if spec.provider == LOCAL and not os.path.isdir(spec.repo):  # noqa: PTH112  # Path's raises where it may not look
            raise FailedError(f"Error resolving ref for {_key(spec)}: there is no such folder")
        if spec.provider == LOCAL and spec.ref == DEFAULT_REF:
            uri = Path(spec.repo).as_uri()
            return Resolved(spec, "", Remote(uri, uri), f"local/{slug(spec.repo)}-{digest(spec.repo)[:6]}:as-it-is")
        if spec.clone_url is None:
            raise FailedError(
                f"The embedded hub does not fetch from {spec.provider}: it takes folders and what git can clone."
            )
        remote = Remote.of(spec)
        repository = Repository(remote, self._cache, self._children)
        commit = yield from self._commit(repository, spec)
        if commit is None:
            message = f"Could not resolve ref for {_key(spec)}. Double check your URL and that your repo is public."
            head = None
            if spec.ref in _DEFAULT_BRANCHES and spec.provider != LOCAL:
                message += " Tip: HEAD will always resolve to a repository's default branch."
                head = yield from self._commit(repository, replace(spec, ref=DEFAULT_REF))
            if head is None:
                raise FailedError(message)
            yield Event(
                Phase.WAITING,
                f"{message}\nTrying again with HEAD instead of {spec.ref}. Please update your links.\n",
            )
            spec, commit = replace(spec, ref=DEFAULT_REF), head
        return Resolved(spec, commit, remote, f"local/{slug(spec.repo)}-{digest(remote.url)[:6]}:{commit}")

    def find_image(self, resolved: Resolved) -> Image | None:
        """The image, if everything that belongs to it is there.

        Raises:
            FailedError: the files cannot be read.
            ClosedError: the hub was closed.
        """
        tree = self._tree(resolved)
        try:
            if not tree.root.is_dir():
                return None
            recipe = read_recipe(tree.root)
            environment = self._environments.find(recipe, tree)
        except (ChildFailedError, OSError) as error:
            raise FailedError(f"Error during build: {error}") from error
        return Image(resolved, tree, recipe, environment) if environment else None

    def build(self, resolved: Resolved) -> Steps[Image]:
        """Fetch the repository and build its environment; what was not used for long is removed before.

        Raises:
            FailedError: either failed.
            ClosedError: the hub was closed.
            HubError: nothing can be kept in the cache folder.
        """
        prune(self._cache.environments, records.environments_in_use(self._cache))
        prune(self._cache.repositories)
        tree = self._tree(resolved)
        try:
            if resolved.commit:
                yield Event(None, "Picked Git content provider.\n")
                repository = Repository(resolved.remote, self._cache, self._children)
                yield from _told(Phase.FETCHING, repository.fetch(resolved.commit))
            else:
                yield Event(None, "Picked Local content provider.\n")
                yield Event(Phase.FETCHING, f"Using the folder {tree.root} as it is now\n")
            recipe = read_recipe(tree.root)
            yield from _warned(Phase.BUILDING, recipe)
            yield from _told(Phase.BUILDING, self._environments.build(recipe, tree))
        except (ChildFailedError, EnvironmentFailedError, OSError) as error:
            raise FailedError(f"Error during build: {error}") from error
        environment = self._environments.find(recipe, tree)
        if environment is None:
            raise FailedError("Error during build: the folder was changed while its environment was built")
        return Image(resolved, tree, recipe, environment)

    def launch(
        self, image: Image, *, on_started: Callable[[Server], None] | None = None, show_preamble: bool = True
    ) -> Steps[None]:
        """Start a server; the last event is `ready`.

        Args:
            image: what to launch.
            on_started: told of the server before anyone else hears of it.
            show_preamble: begin with what is said once for all tries of a launch.

        Raises:
            FailedError: the server does not come up; its log's last lines are in the message.
            ClosedError: the hub was closed.
            HubError: nothing can be kept in the cache folder.
        """
        if show_preamble:
            yield Event(Phase.LAUNCHING, "Launching server...\n")
            yield Event(Phase.LAUNCHING, _NO_ISOLATION)
            yield from _warned(Phase.LAUNCHING, image.recipe)
        records.clean(self._cache)
        try:
            server = start(
                self._cache,
                title=Path(image.of.spec.repo).name if image.of.spec.provider == LOCAL else image.of.spec.repo,
                environment=image.environment,
                copy_to=lambda target: image.tree.copy_to(target, self._children, self._cache.root),
                raise_if_closed=self._children.raise_if_closed,
            )
        except (LaunchFailedError, ChildFailedError) as error:
            raise FailedError(str(error), status_code=500) from error
        known = False
        try:
            self._children.raise_if_closed()
            if on_started is not None:
                on_started(server)
            yield Event(Phase.LAUNCHING, f"Server ready at /user/{server.name}/\n")
            known = True
        finally:
            if not known:
                discard(self._cache, server)
        yield _ready(image, server)

    def _tree(self, resolved: Resolved) -> Tree:
        if not resolved.commit:
            return Tree(Path(resolved.spec.repo))
        repository = Repository(resolved.remote, self._cache, self._children)
        return Tree(repository.checkout(resolved.commit), resolved.commit)

    def _commit(self, repository: Repository, spec: RepositorySpec) -> Steps[str | None]:
        try:
            return (yield from _told(Phase.WAITING, repository.resolve(spec.ref)))
        except (UnresolvedError, ChildFailedError, OSError) as error:
            raise FailedError(f"Error resolving ref for {_key(spec)}: {error}") from error


def _key(spec: RepositorySpec) -> str:
    return f"{spec.provider}:{spec.repo}/{spec.ref}"


def _warned(phase: Phase, recipe: Recipe) -> Iterator[Event]:
    return (Event(phase, f"Warning: {warning}\n") for warning in recipe.warnings)


def _told(phase: Phase, lines: Generator[str, None, _Result]) -> Steps[_Result]:
    """Make an event of each line, and hand on what the work comes back with."""
    with closing(lines):
        while True:
            try:
                line = next(lines)
            except StopIteration as stop:
                result: _Result = stop.value
                return result
            yield Event(phase, line)


def _ready(image: Image, server: Server) -> Event:
    resolved = image.of
    persistent = replace(resolved.spec, ref=resolved.commit) if resolved.commit else resolved.spec
    return Event(
        Phase.READY,
        f"server running at {server.url}\n",
        image=resolved.image,
        details={
            "url": server.url,
            "token": server.token,
            "image": resolved.image,
            "repo_url": resolved.remote.web,
            "binder_ref_url": resolved.ref_url,
            "binder_launch_host": "local",
            "binder_request": f"v2/{resolved.spec.build_path}",
            "binder_persistent_request": f"v2/{persistent.build_path}",
        },
    )
