"""Notebook projects for the tests, and a home and a cache that the tests of one file share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from commands import CLINDER
from embedded import checkout, environment_variables, processes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


WHERE = "import os\nprint('ran in', os.getcwd())"
"""A cell that prints where it runs, which must be a session's working copy."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all tests of a file; at the end, no process that uses it may be running."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("CLINDER_"):
                patch.delenv(name)
        with environment_variables(folder):
            yield folder


@pytest.fixture(autouse=True)
def kept_cache(place: Path, plain_environment: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded hub's cache folder, shared by all tests of a file."""
    cache = place / "cache"
    monkeypatch.setenv("CLINDER_CACHE_DIR", str(cache))
    return cache


def servers(folder: Path) -> list[psutil.Process]:
    """The Jupyter Servers whose command line contains this folder."""
    return [process for process in processes_of(folder) if _is_server(process)]


def _is_server(process: psutil.Process) -> bool:
    try:
        return any("jupyter_server" in part for part in process.cmdline())
    except psutil.Error:  # it has exited in the meantime
        return False


def notebook(*cells: str) -> str:
    """Return a notebook with these code cells, none of them executed."""
    made: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


def page(*cells: str) -> str:
    """Return a page in MyST Markdown with these code cells."""
    front = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n# A page\n"
    return front + "".join(f"\n```{{code-cell}} python\n{source}\n```\n" for source in cells)


def book(folder: Path, **files: str) -> Path:
    """Create a cookbook that MyST can build offline, with these files, as a git checkout with a `clinder.toml`."""
    theme = folder / "theme"
    checkout(
        folder,
        myst__yml="version: 1\nproject:\n  title: A cookbook\nsite:\n  template: ./theme\n",
        clinder__toml='hub = "local"\nrepo = "."\n',
        **files,
    )
    theme.mkdir()
    (theme / "template.yml").write_text("myst: v1\n")
    return folder


def executed(folder: Path) -> list[str]:
    """The output of each executable page, from MyST's last build."""
    return sorted(path.read_text() for path in (folder / "_build" / "execute").glob("*.*"))


def forget_build(folder: Path) -> None:
    """Remove the results of MyST's last build."""
    shutil.rmtree(folder / "_build", ignore_errors=True)


@contextmanager
def started(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start `clinder` in a folder, in its own process group, and make sure that it is gone at the end."""
    process = subprocess.Popen(
        [CLINDER, *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
