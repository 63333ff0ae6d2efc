"""A job of a workflow file: its steps in order, with the real action and stand-ins for GitHub's own actions.

Scripts run in a real shell, with the variables and files that a runner provides.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from runner.expressions import evaluate, fill_text
from runner.files import read_values
from runner.job import LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.job import Job, Step

_OWN = "clinder-dev/clinder@"
_SHELLS = {"": ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"]}


def read_workflow(path: Path) -> dict[str, Any]:
    """Read a workflow; restores the key `on`, which YAML 1.1 reads as a boolean."""
    document: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["on"] = document.pop(True)
    return document


def inputs_of(workflow: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The inputs of a reusable workflow that is called with these values; an undeclared input is an error."""
    declared = workflow["on"]["workflow_call"]["inputs"]
    assert set(given) <= set(declared), "the workflow has no such input"
    return {name: about.get("default", "") for name, about in declared.items()} | dict(given)


@dataclass
class WorkflowJob:
    """A run of one job.

    Attributes:
        job: the runner of the job; its workspace is the checkout.
        document: the workflow.
        name: the name of the job in it.
        contexts: `inputs`, `github`, `matrix`, `needs` and `secrets`, as far as the job reads them.
        artifacts: the folder of the artifacts, by name.
        said: the output of the scripts.
        skipped: the names of the steps whose condition was false.
    """

    job: Job
    document: Mapping[str, Any]
    name: str
    contexts: dict[str, Any]
    artifacts: Path
    said: str = ""
    skipped: list[str] = field(default_factory=list)
    failed: bool = False
    _variables: dict[str, str] = field(default_factory=dict)
    _sessions: list[Step] = field(default_factory=list)
    _steps: dict[str, Any] = field(default_factory=dict)

    def run(self) -> WorkflowJob:
        """Run all steps, and always stop the sessions that they launched."""
        try:
            for number, step in enumerate(self._described["steps"]):
                self._take(step, step.get("name") or step.get("uses") or f"step {number}", number)
        finally:
            for session in reversed(self._sessions):
                session.post()
        return self

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the job."""
        return {name: fill_text(value, self._context) for name, value in self._described.get("outputs", {}).items()}

    @property
    def _described(self) -> Mapping[str, Any]:
        described: Mapping[str, Any] = self.document["jobs"][self.name]
        return described

    @property
    def _context(self) -> dict[str, Any]:
        return {**self.contexts, "steps": self._steps, "env": self._variables, "failed": self.failed}

    def _take(self, step: Mapping[str, Any], name: str, number: int) -> None:
        condition = str(step.get("if", "success()")).strip().removeprefix("${{").removesuffix("}}")
        if not any(state in condition for state in ("always()", "failure()", "success()")):
            condition = f"success() && ({condition})"
        if not evaluate(condition, self._context):
            self.skipped.append(name)
            return
        if "run" in step:
            status, outputs = self._script(step, number)
        else:
            status, outputs = self._use(step)
        self._steps[step.get("id", name)] = {"outputs": outputs, "outcome": "failure" if status else "success"}
        self.failed = self.failed or bool(status)

    def _script(self, step: Mapping[str, Any], number: int) -> tuple[int, dict[str, str]]:
        folder = self.job.folder / f"script-{number}"
        folder.mkdir(parents=True)
        files = {f"GITHUB_{name}": folder / name for name in ("ENV", "OUTPUT", "STEP_SUMMARY", "PATH")}
        for file in files.values():
            file.touch()
        (folder / "script.sh").write_text(fill_text(step["run"], self._context), encoding="utf-8")
        shell = step.get("shell") or self._described.get("defaults", {}).get("run", {}).get("shell", "")
        defaults = self.document.get("defaults", {}).get("run", {})
        given = {**self.document.get("env", {}), **self._described.get("env", {}), **step.get("env", {})}
        done = subprocess.run(
            [*_SHELLS[shell or defaults.get("shell", "")], str(folder / "script.sh")],
            cwd=self.job.workspace / fill_text(step.get("working-directory", "."), self._context),
            env={
                **self.job.environment,
                **self._variables,
                **{name: fill_text(value, self._context) for name, value in given.items()},
                **{name: str(file) for name, file in files.items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.said += done.stdout
        self._variables |= read_values(files["GITHUB_ENV"])
        return done.returncode, read_values(files["GITHUB_OUTPUT"])

    def _use(self, step: Mapping[str, Any]) -> tuple[int, dict[str, str]]:
        action = step["uses"].partition("@")[0]
        given = {name: fill_text(value, self._context) for name, value in step.get("with", {}).items()}
        if step["uses"].startswith(_OWN):
            return self._launch(given)
        if action == "actions/upload-artifact":
            found = self.job.workspace / given["path"]
            assert found.exists(), found
            target = self.artifacts / given["name"]
            if found.is_dir():
                shutil.copytree(found, target, symlinks=True)
            else:
                target.mkdir(parents=True)
                shutil.copy2(found, target)
        elif action == "actions/download-artifact":
            into = self.job.workspace / given.get("path", ".")
            shutil.copytree(self.artifacts / given["name"], into, symlinks=True, dirs_exist_ok=True)
        elif action == "actions/checkout":
            head = subprocess.run(
                ["git", "rev-parse", "HEAD"], cwd=self.job.workspace, capture_output=True, text=True, check=True
            )
            return 0, {"commit": head.stdout.strip()}
        else:
            assert action == "actions/setup-node", f"no stand-in for {action}"
        return 0, {}

    def _launch(self, given: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        step = self.job.step(**{name.replace("-", "_"): value for name, value in given.items()})
        self._sessions.append(step)
        ran = step.main()
        self.said += ran.understood.shown
        self._variables |= ran.environment
        return ran.status, ran.outputs
