"""What a repository's session runs in: found by repo2docker's rules, built with uv or pip or conda, kept by content.

The files looked for, and which one wins, follow repo2docker (docs: "Configuration Files"); what of it the
embedded hub does not do is told as a warning.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from clinder.localhub.cache import digest, private_folder
from clinder.localhub.environment_variables import BUILD_VARIABLE, for_builds
from clinder.localhub.locks import acquire
from clinder.localhub.processes import end_all
from clinder.localhub.pruning import note_use
from clinder.system.files import write_private
from clinder.system.installers import uv_config, with_pip_settings, without_uv_files

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from clinder.localhub.cache import Cache
    from clinder.localhub.processes import Children
    from clinder.localhub.source import Tree

Installer: TypeAlias = Literal["auto", "uv", "pip"]
_Command: TypeAlias = tuple[list[str], dict[str, str]]
"""A command and its environment."""

_FOLDERS = ("binder", ".binder")
_IGNORED = (
    "Dockerfile",
    "Project.toml",
    "REQUIRE",
    "install.R",
    "DESCRIPTION",
    "default.nix",
    "Pipfile",
    "Pipfile.lock",
    "runtime.txt",
    "apt.txt",
    "postBuild",
    "start",
)
_SERVER = ("jupyter-server>=2", "ipykernel>=6")
_CONDA_SERVER = ("jupyter_server>=2", "ipykernel>=6", "pip")
_CONDA_TOOLS = ("mamba", "micromamba", "conda")
# A name, extras, a version and a marker: whatever else a line holds may point into the repository.
_PLAIN_REQUIREMENT = re.compile(
    r"(?!.*\.(whl|zip|tar|t?gz|bz2|xz)\b)"
    r"[A-Za-z0-9][\w.-]*\s*(\[[\w\s,.-]*\])?\s*([<>=!~(].*)?(;.*)?"
)
_LOCAL_IN_CONDA = re.compile(r"^\s*-\s*([\"']?)(-|\.|/|file:)|@\s*file:|\.whl", re.MULTILINE)
_COMPLETE = ".clinder-complete"
_ENDING_S = 5.0
"""How long an earlier build may take to end; its own grace is three seconds."""


class EnvironmentFailedError(Exception):
    """The environment cannot be built; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What serves: an interpreter, and the folder it belongs to; `None` for clinder's own."""

    python: Path
    prefix: Path | None = None

    @property
    def name(self) -> str:
        """What it is called in the cache; nothing for clinder's own."""
        return self.prefix.parent.name if self.prefix else ""


OWN = Environment(Path(sys.executable))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a repository asks for.

    Attributes:
        conda: its `environment.yml`, which then is all that counts.
        requirements: its `requirements.txt`.
        project: whether the repository is itself a package that is to be installed.
        warnings: what it asks for that the embedded hub does not do, one sentence each.
        fault: why it cannot be built at all.
    """

    conda: Path | None = None
    requirements: Path | None = None
    project: bool = False
    warnings: tuple[str, ...] = ()
    fault: str = ""

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to build: clinder's own interpreter serves if not."""
        return bool(self.conda or self.requirements or self.project)

    @property
    def reads_repository(self) -> bool:
        """Whether more of the repository than these files may get into the environment."""
        if self.conda:
            return bool(_LOCAL_IN_CONDA.search(self.conda.read_text(encoding="utf-8", errors="replace")))
        if self.project or not self.requirements:
            return self.project
        text = self.requirements.read_text(encoding="utf-8", errors="replace")
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
        return not all(_PLAIN_REQUIREMENT.fullmatch(line) for line in lines if line)


def read_recipe(root: Path) -> Recipe:
    """Find what the repository in this folder asks for."""
    folders = [name for name in _FOLDERS if (root / name).is_dir()]
    if len(folders) > 1:
        # repo2docker refuses this too.
        return Recipe(fault=f"The repository has both {' and '.join(folders)}: exactly one must exist.")
    place = root / folders[0] if folders else root
    warnings = tuple(
        f"The embedded hub does not support {(place / name).relative_to(root)}: it is ignored."
        for name in _IGNORED
        if (place / name).is_file()
    )
    if conda := _existing(place, "environment.yml", "environment.yaml"):
        return Recipe(conda=conda, warnings=warnings)
    project = not folders and any((root / name).is_file() for name in ("pyproject.toml", "setup.py"))
    return Recipe(
        requirements=_existing(place, "requirements.txt"),
        project=project and _is_installable(root),
        warnings=warnings,
    )


def _existing(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _is_installable(root: Path) -> bool:
    """Whether there is a package: many repositories have a `pyproject.toml` for the settings of tools alone."""
    if (root / "setup.py").is_file():
        return True
    text = (root / "pyproject.toml").read_text(encoding="utf-8", errors="replace")
    return bool(re.search(r"^\s*\[(project|build-system|tool\.poetry)\]", text, re.MULTILINE))


class Environments:
    """The built environments: each is whole where its folder bears the mark, and is never changed after that."""

    def __init__(self, cache: Cache, children: Children, installer: Installer) -> None:
        self._cache = cache
        self._children = children
        self._installer = installer

    def find(self, recipe: Recipe, tree: Tree) -> Environment | None:
        """The environment that serves this repository, if it needs none or has been built."""
        if not recipe.is_needed:
            return None if recipe.fault else OWN
        folder = self._folder(recipe, tree)
        note_use(folder)
        return _environment(folder) if _is_complete(folder) else None

    def build(self, recipe: Recipe, tree: Tree) -> Generator[str, None, None]:
        """Build the environment, or wait for another process that does; yields lines for the log.

        Raises:
            EnvironmentFailedError: nothing here can build it.
            ChildFailedError: a command that builds failed.
            ClosedError: the hub was closed.
        """
        if recipe.fault:
            raise EnvironmentFailedError(recipe.fault)
        if not recipe.is_needed:
            return
        folder = self._folder(recipe, tree)
        waiting = "Another process builds the same environment: waiting for it.\n"
        lock = yield from acquire(folder, self._children, waiting)
        try:
            if not _is_complete(folder):
                yield from self._build(recipe, tree, folder)
        finally:
            lock.release()

    def _folder(self, recipe: Recipe, tree: Tree) -> Path:
        files = [path for path in (recipe.conda, recipe.requirements) if path]
        parts: list[str | bytes] = [
            "conda" if recipe.conda else "pip",
            platform.python_implementation(),
            platform.python_version(),
            platform.platform(aliased=True, terse=True),
            platform.machine(),
            os.path.realpath(sys.executable),
            *_SERVER,
            *(part for path in files for part in (path.name, path.read_bytes())),
        ]
        if recipe.reads_repository:
            parts.append(tree.fingerprint(self._children, self._cache.root))
        return self._cache.environments / digest(*parts)

    def _build(self, recipe: Recipe, tree: Tree, folder: Path) -> Iterator[str]:
        # What still runs of a build whose clinder was killed must not write into this one.
        if not end_all(BUILD_VARIABLE, str(folder), _ENDING_S):
            raise EnvironmentFailedError("An earlier build of this environment still runs and cannot be ended.")
        # Left by a build that crashed: environments cannot be moved, so they are built where they will stay.
        shutil.rmtree(folder, ignore_errors=True)
        private_folder(folder)
        whole = False
        try:
            root = tree.root
            if recipe.reads_repository:
                # A copy that stays: editable installs point at it, and a build must not write into the original.
                root = folder / "repository"
                tree.copy_to(root, self._children, self._cache.root)
            for command, variables in self._commands(recipe, tree.root, root, folder):
                yield f"Running {' '.join(command)}\n"
                yield from self._children.lines(command, env=variables, cwd=root)
            write_private(folder / _COMPLETE, "")
            whole = True
        finally:
            if not whole:
                shutil.rmtree(folder, ignore_errors=True)

    def _commands(self, recipe: Recipe, original: Path, root: Path, folder: Path) -> Iterator[_Command]:
        """Yield the commands that build, each with its environment, as they are to be run one after the other.

        They run in the repository, whose modules must not be taken for those of Python or of installers.
        """

        def here(path: Path) -> str:
            return str(root / path.relative_to(original))

        prefix, variables = folder / "prefix", for_builds(folder)
        if recipe.conda:
            tool = _conda_tool()
            # Not every `conda env create` knows `--yes`: the variables of `for_builds` say it to all.
            create = [tool, "create"] if Path(tool).stem == "micromamba" else [tool, "env", "create"]
            yield [*create, "--prefix", str(prefix), "--file", here(recipe.conda)], variables
            install = [tool, "install", "--yes", "--prefix", str(prefix), "--channel", "conda-forge", *_CONDA_SERVER]
            yield install, variables
            return
        wanted = ["-r", here(recipe.requirements)] if recipe.requirements else []
        wanted += ["."] if recipe.project else []
        python = str(_python(prefix))
        if uv := self._uv():
            config = folder / "uv.toml"
            write_private(config, uv_config())
            chosen = ["--config-file", str(config)]
            variables = without_uv_files(variables)
            yield [*uv, "venv", *chosen, "--seed", "--python", sys.executable, str(prefix)], variables
            yield [*uv, "pip", "install", *chosen, "--python", python, *wanted, *_SERVER], variables
        else:
            yield [sys.executable, "-I", "-m", "venv", str(prefix)], variables
            pip = [python, "-I", "-m", "pip"]
            listed = self._children.output([*pip, "config", "list"], env=variables)
            yield [*pip, "install", *wanted, *_SERVER], with_pip_settings(variables, listed)

    def _uv(self) -> list[str]:
        if self._installer == "pip":
            return []
        if found := shutil.which("uv"):
            return [found]
        if importlib.util.find_spec("uv"):
            return [sys.executable, "-P", "-m", "uv"]
        if self._installer == "uv":
            raise EnvironmentFailedError("uv is neither on PATH nor beside clinder.")
        return []


def _conda_tool() -> str:
    for name in _CONDA_TOOLS:
        if found := shutil.which(name):
            return found
    raise EnvironmentFailedError(
        "The repository asks for a conda environment (environment.yml): the embedded hub needs "
        "mamba, micromamba or conda on PATH to build it."
    )


def _is_complete(folder: Path) -> bool:
    """Whether the environment is whole, and the interpreter that it was made from is still there."""
    return (folder / _COMPLETE).is_file() and _python(folder / "prefix").exists()


def _environment(folder: Path) -> Environment:
    return Environment(_python(folder / "prefix"), folder / "prefix")


def _python(prefix: Path) -> Path:
    if sys.platform != "win32":
        return prefix / "bin" / "python"
    return prefix / "python.exe" if (prefix / "conda-meta").is_dir() else prefix / "Scripts" / "python.exe"
