"""Jupyter's own tools with a session: the documented examples run remotely."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from books import WHERE, kept_cache, notebook, place, servers
from commands import clinder
from embedded import checkout
from tools import python_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kept_cache", "place"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the examples are shell scripts")
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "tools"


@pytest.fixture(scope="module")
def project(place: Path) -> Iterator[Path]:
    """A project with a running session; the tools are those of this Python."""
    folder = checkout(place / "project", notes__txt="", clinder__toml='hub = "local"\nrepo = "."\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        clinder(folder, "up", "-q")
        yield folder
        clinder(folder, "down", "-q")


def test_nbconvert_executes_a_notebook_in_the_session(project: Path, kept_cache: Path) -> None:
    path = project / "hello.ipynb"
    path.write_text(notebook(WHERE))
    clinder(project, "run", "--", "sh", str(EXAMPLES / "nbconvert.sh"), "hello.ipynb")
    (cell,) = json.loads(path.read_text())["cells"]
    (output,) = cell["outputs"]
    assert f"ran in {kept_cache / 'sessions'}" in "".join(output["text"])


def test_nbconvert_fails_if_a_cell_raises(project: Path) -> None:
    (project / "broken.ipynb").write_text(notebook("1 / 0"))
    done = clinder_quietly(project, "run", "--", "sh", str(EXAMPLES / "nbconvert.sh"), "broken.ipynb")
    assert done == 1


@pytest.fixture(scope="module")
def kernel_client() -> list[str]:
    """The command that runs the example of `jupyter-kernel-client`."""
    python = python_packages("jupyter-kernel-client", "jupyter-kernel-client==1.*") / "python"
    return [str(python), str(EXAMPLES / "kernel_client.py")]


def test_code_is_executed_in_the_session_by_jupyter_kernel_client(
    project: Path, kept_cache: Path, kernel_client: list[str]
) -> None:
    done = clinder(project, "run", "-q", "--", *kernel_client, WHERE)
    assert done.stdout.startswith(f"ran in {kept_cache / 'sessions'}")
    clinder(project, "run", "-q", "--", *kernel_client, "1 / 0", expect=1)


def test_the_tools_leave_no_kernel_in_the_session(project: Path, place: Path, kernel_client: list[str]) -> None:
    clinder(project, "run", "-q", "--", *kernel_client, "1")
    assert clinder(project, "status", "--json").document["kernels"] == 0
    assert len(servers(place)) == 1


def clinder_quietly(folder: Path, *arguments: str) -> int:
    """Run `clinder` with a command that may print tracebacks."""
    import subprocess

    from commands import CLINDER

    return subprocess.run([CLINDER, *arguments], cwd=folder, capture_output=True, timeout=120, check=False).returncode
