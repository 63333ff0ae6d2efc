"""Running commands side by side in rounds, and taking the medians."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

UNWANTED = re.compile(r"PYTHON|CLINDER_|.*_proxy$|COVERAGE", re.IGNORECASE)
ENVIRONMENT = {name: value for name, value in os.environ.items() if not UNWANTED.match(name)}


@dataclass(frozen=True)
class Run:
    """The cost of one run of a command.

    Attributes:
        seconds: elapsed time.
        cpu_s: processor time, including children.
        memory_mb: peak memory.
        ended_at: time of its end on the monotonic clock, which all processes of a machine share.
    """

    seconds: float
    cpu_s: float
    memory_mb: float
    ended_at: float = 0.0


def run(command: Sequence[str], folder: Path, *, expected: Sequence[int] = (0,)) -> Run:
    """Run a command with its output in files, like a CI runner, and check its exit status."""
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=stdout, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
        ended = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        said = (folder / "stderr").read_bytes()[-2000:].decode(errors="replace")
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kibibytes elsewhere
    return Run(ended - began, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6, ended)


def measure(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    folder: Path,
    *,
    expected: Sequence[int] = (0,),
    seconds: Callable[[Run], float] = lambda done: done.seconds,
) -> dict[str, Run]:
    """Run every command once in each round, after one round of warm-up, and return the medians.

    Args:
        commands: the commands by name.
        rounds: the number of rounds that count.
        folder: the working directory.
        expected: the accepted exit statuses.
        seconds: a function that returns the time of a run.
    """
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            done = run(command, folder, expected=expected)
            if number:
                runs[name].append(Run(seconds(done), done.cpu_s, done.memory_mb))
        sys.stderr.write(".")
        sys.stderr.flush()
    sys.stderr.write("\n")
    return {name: median(done) for name, done in runs.items()}


def median(runs: Sequence[Run]) -> Run:
    """The medians of several runs, and the largest peak memory."""
    return Run(
        statistics.median(each.seconds for each in runs),
        statistics.median(each.cpu_s for each in runs),
        max(each.memory_mb for each in runs),
    )
