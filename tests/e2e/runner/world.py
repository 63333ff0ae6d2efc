"""Fixtures: a job on a runner, and the processes of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from embedded import eventually

from runner.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def runner_temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`RUNNER_TEMP`, shared by all tests so that clinder is only installed once."""
    folder = tmp_path_factory.mktemp("runner") / "temp with space"
    folder.mkdir()
    return folder


@pytest.fixture
def job(runner_temp: Path, tmp_path: Path) -> Iterator[Job]:
    """A job in an empty workspace; processes and files of its steps are gone at the end."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    made = Job(runner_temp, tmp_path / "job", workspace)
    yield made
    for step in made.steps:
        if not step.is_over:
            step.post()
    eventually(lambda: not clinders(made.temp), "clinder's processes have ended")
    left = [path.name for path in made.temp.iterdir() if not path.name.startswith("clinder-python-")]
    assert left == [], "a step left its files behind"


def clinders(temp: Path) -> list[psutil.Process]:
    """The processes that steps of the action started, found by their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
        except psutil.Error:
            continue
        if any(part.endswith("start.py") for part in arguments) and any(str(temp) in part for part in arguments):
            found.append(process)
    return found
