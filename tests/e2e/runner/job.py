"""A job with one step that uses the action: `main`, started like on a runner, and then `post`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pace import slowness

from runner.files import read_values
from runner.output import Understood, understand

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
LIMIT_S = 120.0
UNTIL_SIGTERM_S = 7.5
UNTIL_SIGKILL_S = 2.5
_FILES = ("ENV", "OUTPUT", "STATE", "STEP_SUMMARY", "PATH")


@dataclass(frozen=True)
class Ran:
    """A program of the action that has ended."""

    status: int
    output: str
    environment: dict[str, str]
    outputs: dict[str, str]
    written_summary: str

    @cached_property
    def understood(self) -> Understood:
        return understand(self.output)

    @property
    def summary(self) -> str:
        """The summary as it is displayed, with masked values hidden."""
        return self.understood.hide(self.written_summary)

    @property
    def error(self) -> str:
        """The single error annotation."""
        (annotation,) = self.understood.annotations()
        assert annotation.properties["title"]
        return annotation.data


@dataclass
class Step:
    """One use of the action."""

    job: Job
    folder: Path
    inputs: dict[str, str]
    state: dict[str, str] = field(default_factory=dict)
    is_over: bool = False

    def start(self, program: str = "main") -> subprocess.Popen[bytes]:
        """Start `main` or `post` with the files and variables that a runner provides."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (self.folder / f"{program}-{name}").write_text("")
        with (self.folder / f"{program}-log").open("wb") as log:
            return subprocess.Popen(
                [self.job.node, str(ROOT / self.job.action["runs"][program])],
                cwd=self.job.workspace,
                env=self._environment(program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self, program: str) -> dict[str, str]:
        declared = self.job.action["inputs"]
        assert set(self.inputs) <= set(declared), "the action has no such input"
        values = {name: str(about.get("default", "")) for name, about in declared.items()} | self.inputs
        return {
            **self.job.environment,
            **{f"INPUT_{name.replace(' ', '_').upper()}": value for name, value in values.items()},
            **{f"STATE_{name}": value for name, value in self.state.items()},
            **{f"GITHUB_{name}": str(self.folder / f"{program}-{name}") for name in _FILES},
        }

    def finish(self, process: subprocess.Popen[bytes], program: str = "main") -> Ran:
        """Wait for a program to end, and read its files."""
        status = process.wait(LIMIT_S)
        self.state |= read_values(self.folder / f"{program}-STATE")
        return Ran(
            status,
            self.log(program),
            read_values(self.folder / f"{program}-ENV"),
            read_values(self.folder / f"{program}-OUTPUT"),
            (self.folder / f"{program}-STEP_SUMMARY").read_text(encoding="utf-8"),
        )

    def log(self, program: str = "main") -> str:
        """The output of a program so far, with its line ends unchanged."""
        return (self.folder / f"{program}-log").read_bytes().decode("utf-8")

    def main(self) -> Ran:
        return self.finish(self.start())

    def post(self) -> Ran:
        self.is_over = True
        return self.finish(self.start("post"), "post")

    def cancel(self, process: subprocess.Popen[bytes]) -> Ran:
        """Cancel the job: SIGINT, SIGTERM after 7.5 s, and a kill after 2.5 s more, only to this process.

        On a busy machine, the times are longer, so that a process that exits at once has the time for it.
        """
        slow = slowness()
        for number, patience_s in ((signal.SIGINT, UNTIL_SIGTERM_S), (signal.SIGTERM, UNTIL_SIGKILL_S)):
            process.send_signal(number)
            try:
                process.wait(patience_s * slow)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            process.kill()
        return self.finish(process)

    def await_output(self, words: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until `main` has printed something."""
        deadline = time.monotonic() + LIMIT_S
        while words not in self.log():
            assert process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)


@dataclass
class Job:
    """A job on a runner.

    Attributes:
        temp: `RUNNER_TEMP`; installations of earlier steps in it are reused.
        workspace: the folder that `actions/checkout` checked out.
        event: the name and payload of the event.
        variables: the `GITHUB_*` variables of the event, without the prefix.
        more: other environment variables of the runner.
    """

    temp: Path
    folder: Path
    workspace: Path
    event: tuple[str, Mapping[str, Any]] = ("workflow_dispatch", {})
    variables: dict[str, str] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)
    node: str = "node"
    steps: list[Step] = field(default_factory=list)

    @cached_property
    def action(self) -> dict[str, Any]:
        described: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
        return described

    @property
    def environment(self) -> dict[str, str]:
        name, payload = self.event
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "event.json"
        path.write_text(json.dumps(payload), encoding="utf-8")
        defaults = {
            "ACTIONS": "true",
            "REPOSITORY": "org/name",
            "SERVER_URL": "https://github.com",
            "SHA": "5" * 40,
            "REF": "refs/heads/main",
            "WORKSPACE": str(self.workspace),
            "EVENT_NAME": name,
            "EVENT_PATH": str(path),
        }
        variables = {f"GITHUB_{key}": value for key, value in (defaults | self.variables).items()}
        return {**os.environ, **variables, "CI": "true", "RUNNER_TEMP": str(self.temp), **self.more}

    def step(self, **inputs: str) -> Step:
        """Use the action again; an underscore stands for the hyphen in the name of an input."""
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        self.steps.append(Step(self, self.folder / f"step-{len(self.steps)}", named))
        return self.steps[-1]
