"""The examples on the pages equal their files, and work as the pages say."""

from __future__ import annotations

import ast
import importlib
import os
import shlex
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pages import (
    BLOCKS,
    CLINDER,
    DOCS,
    LIMIT_S,
    Block,
    down,
    environment_variables,
    invocations,
    name_of,
    parse,
)

import clinder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EXAMPLES = DOCS / "examples"
EXAMPLE_FILES = sorted(file for file in EXAMPLES.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
OWN_TESTS = ("hello", "python", "tools")
"""Folders whose files other tests run; the pages do not have to show all of them."""
WORKFLOWS = "github-actions"
"""Workflows where the action calls clinder; other tests run them."""


def included(block: Block) -> Path | None:
    """The file that a block shows, from the comment before it, relative to the docs folder."""
    return DOCS / block.comment if block.comment.startswith("examples/") else None


INCLUDED = [pytest.param(block, id=block.place) for block in BLOCKS if included(block)]


@pytest.mark.parametrize("block", INCLUDED)
def test_an_example_on_a_page_equals_its_file(block: Block) -> None:
    file = included(block)
    assert file is not None
    assert block.text == file.read_text(encoding="utf-8")


def test_every_example_is_on_a_page() -> None:
    shown = {included(block) for block in BLOCKS}
    assert {file for file in EXAMPLE_FILES if file.relative_to(EXAMPLES).parts[0] not in OWN_TESTS} <= shown


def texts(value: Any) -> Iterator[str]:
    """Find every string in a YAML or TOML document, line by line."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield from value.splitlines()


def example_commands(file: Path) -> list[list[str]]:
    """Find the arguments of every call of `clinder` in an example."""
    text = file.read_text(encoding="utf-8")
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".yml": yaml.safe_load,
        ".yaml": yaml.safe_load,
        ".sh": str.splitlines,
    }
    return [found for line in texts(readers[file.suffix](text)) for found in invocations(line)]


CONFIGURED = [
    file
    for file in EXAMPLE_FILES
    if file.suffix in (".toml", ".yml", ".yaml", ".sh")
    and file.relative_to(EXAMPLES).parts[0] not in (*OWN_TESTS, WORKFLOWS)
]


@pytest.mark.parametrize("file", CONFIGURED, ids=name_of)
def test_the_calls_of_clinder_in_an_example_parse(file: Path) -> None:
    found = example_commands(file)
    assert found
    for arguments in found:
        parse(arguments)


PYTHON = [pytest.param(block, id=block.place) for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON)
def test_documented_python_compiles_and_its_imports_exist(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("clinder"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "clinder":
            assert node.attr in clinder.__all__


# CI services run their files unchanged, with stand-ins for installers and for MyST

MYST = """#!/bin/sh
echo "$*" >> "$CALLS"
[ -n "$JUPYTER_BASE_URL" ] && [ -n "$JUPYTER_TOKEN" ] || exit 9
mkdir -p _build/html && echo "$BASE_URL" > _build/html/index.html
exit "$MYST_STATUS"
"""


def netlify() -> tuple[list[str], list[str]]:
    """The scripts that Netlify runs, and those that it runs even if the first ones fail."""
    build = tomllib.loads((EXAMPLES / "netlify" / "netlify.toml").read_text(encoding="utf-8"))["build"]
    assert build["publish"] == "_build/html"
    return [build["command"]], []


def read_the_docs() -> tuple[list[str], list[str]]:
    jobs = yaml.safe_load((EXAMPLES / "read-the-docs" / ".readthedocs.yaml").read_text(encoding="utf-8"))["build"][
        "jobs"
    ]
    return [*jobs["install"], *jobs["build"]["html"]], []


def gitlab_ci() -> tuple[list[str], list[str]]:
    job = yaml.safe_load((EXAMPLES / "gitlab-ci" / ".gitlab-ci.yml").read_text(encoding="utf-8"))["pages"]
    assert job["artifacts"]["paths"] == ["public"]
    return ["set -e\n" + "\n".join([*job["before_script"], *job["script"]])], ["\n".join(job["after_script"])]


SERVICES = {
    "netlify": (netlify, "_build/html/index.html", ""),
    "read-the-docs": (read_the_docs, "output/html/index.html", "/en/latest"),
    "gitlab-ci": (gitlab_ci, "public/index.html", ""),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "clinder.toml").write_text('hub = "local"\nrepo = "."\n', encoding="utf-8")
    return folder


def stand_ins(folder: Path, status: int) -> dict[str, str]:
    """Write installers that install nothing, and a MyST that records its calls and exits with this status."""
    folder.mkdir()
    quiet = "#!/bin/sh\nexit 0\n"
    scripts = {"pip": quiet, "apt-get": quiet, "myst": MYST}
    # The new environment contains the programs of this one.
    scripts["python3"] = (
        f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exec {shlex.quote(sys.executable)} "$@"\n'
        'mkdir -p "$3/bin" && : > "$3/bin/activate"\n'
    )
    for name, text in scripts.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    env = environment_variables(folder.parent)
    return env | {
        "PATH": f"{folder}{os.pathsep}{env['PATH']}",
        "CLINDER_SESSION_WARM": "off",
        "CALLS": str(folder / "calls"),
        "MYST_STATUS": str(status),
        "READTHEDOCS_LANGUAGE": "en",
        "READTHEDOCS_VERSION": "latest",
        "READTHEDOCS_OUTPUT": str(folder.parent / "project" / "output"),
    }


def shells(lines: list[str], folder: Path, env: dict[str, str]) -> int:
    """Run each line in a separate shell until one fails, and return the last exit status."""
    status = 0
    for line in lines:
        ran = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=env, stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=False
        )
        status = ran.returncode
        if status != 0:
            break
    return status


@pytest.mark.skipif(sys.platform == "win32", reason="CI services run a POSIX shell")
@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("service", SERVICES)
def test_a_ci_service_publishes_or_fails_and_leaves_no_session(project: Path, service: str, status: int) -> None:
    read, published, base_url = SERVICES[service]
    env = stand_ins(project.parent / "programs", status)
    lines, after = read()
    try:
        assert shells(lines, project, env) == status
        assert shells(after, project, env) == 0
        looked = subprocess.run([CLINDER, "status"], cwd=project, env=env, capture_output=True, text=True, check=False)
        assert (looked.returncode, looked.stdout) == (6, "session  none\n")
    finally:
        down(project, env)
    assert (project.parent / "programs" / "calls").read_text() == "build --html --execute --strict\n"
    if status == 0:
        assert (project / published).read_text() == f"{base_url}\n"


# Scripts


@pytest.mark.skipif(sys.platform == "win32", reason="the scripts need a POSIX shell")
@pytest.mark.parametrize(("script", "status"), [("several-commands", 0), ("without-files", 0), ("wait-for-hub", 5)])
def test_a_script_uses_a_session_and_stops_it(project: Path, script: str, status: int) -> None:
    (project / "prepare.py").write_text(
        "import os, pathlib\npathlib.Path('url').write_text(os.environ['JUPYTER_BASE_URL'])\n"
    )
    (project / "build.py").write_text(f"import os, sys\nassert os.environ['JUPYTER_TOKEN']\nsys.exit({status})\n")
    env = environment_variables(project.parent) | {"CLINDER_SESSION_WARM": "off", "CLINDER_HUB": "local"}
    arguments = {
        "without-files": [str(project)],
        "wait-for-hub": ["sh", "-c", "python3 prepare.py && python3 build.py"],
    }
    file = EXAMPLES / "scripts" / f"{script}.sh"
    try:
        ran = subprocess.run(
            [str(file), *arguments.get(script, [])],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ran.returncode == status, ran.stderr
        assert "stopped: http://127.0.0.1:" in ran.stderr
        if script == "without-files":
            assert ran.stdout == "0 kernels\n"
        else:
            assert (project / "url").read_text() in ran.stderr
    finally:
        down(project, env)
