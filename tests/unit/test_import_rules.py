"""The import rules: the layers of the package, and where libraries, the embedded hub and the screen are used."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MAP: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "code_map.py"))
FILES: dict[str, Path] = MAP["module_files"]()
GRAPH: dict[str, set[str]] = MAP["import_graph"]()
PARTS = {part.name: part for part in MAP["PARTS"]}
MOST_LATE_IMPORTS = 30


def part_of(module: str) -> str:
    return str(MAP["part_of"](module))


def importers(library: str) -> set[str]:
    """The modules that import a library, including for types."""
    found = set()
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == library for name in names):
                found.add(module)
    return found


def late_imports() -> list[tuple[Path, int]]:
    """The imports that are not at the top of their file, each with its line number."""
    return [
        (file, node.lineno)
        for file in FILES.values()
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


@pytest.mark.skipif(not (ROOT / "clinder").exists(), reason="the installed package is tested")
def test_imports_only_go_down_the_layers_without_cycles() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint_imports, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_folder_and_module_is_a_layer() -> None:
    assert {part_of(module) for module in GRAPH} == PARTS.keys()


def test_at_most_six_files_lie_directly_in_the_package() -> None:
    assert len([path for path in MAP["PACKAGE"].iterdir() if path.is_file()]) <= 6


def test_late_imports_are_few_and_each_has_a_reason() -> None:
    late = late_imports()
    assert len(late) < MOST_LATE_IMPORTS
    for file, number in late:
        line = file.read_text(encoding="utf-8").splitlines()[number - 1]
        assert "  # " in line, f"{file}:{number}: explain in a comment why this import is late"


def test_planning_is_pure() -> None:
    assert {part_of(module) for module in GRAPH["operations.plan"]} <= {"model", "state"}
    assert not {"requests", "socket", "subprocess"} & {
        library for library in ("requests", "socket", "subprocess") if "operations.plan" in importers(library)
    }


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("typer", r"cli(\..*)?"),
        ("rich", r"output\..*"),
        ("requests", r"net\..*|hubs\.binderhub"),
        ("urllib3", r"net\..*|hubs\.(binderhub|http_body)"),
        ("tornado", r"localhub\.http\..*"),
        ("psutil", r"localhub\..*"),
    ],
)
def test_a_library_is_only_imported_by_its_wrapper(library: str, allowed: str) -> None:
    assert all(re.fullmatch(allowed, module) for module in importers(library))


def test_few_modules_import_the_embedded_hub() -> None:
    doors = {name for name, found in GRAPH.items() if "localhub" in map(part_of, found) and part_of(name) != "localhub"}
    assert doors == {"hubs.embedded", "operations.handover", "operations.probe", "cli.hub"}


def test_only_one_module_builds_git_command_lines() -> None:
    """This module keeps git from running programs that a repository names."""
    making = set()
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            first = node.elts[0] if isinstance(node, ast.List | ast.Tuple) and node.elts else None
            if isinstance(first, ast.Constant) and first.value in ("git", "git.exe"):
                making.add(module)
    assert making == {"system.git"}


def test_only_output_commands_and_the_action_write_to_the_screen() -> None:
    writing = set()
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called == "print" or re.fullmatch(r"sys\.(stdout|stderr)(\.buffer)?\.write", called):
                writing.add(part_of(module))
    assert writing <= {"output", "cli", "github_action"}


# The code map


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of three modules."""
    folder = tmp_path / "thing"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("NAME = 'thing'\n")
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "one.py").write_text(
        "from typing import TYPE_CHECKING\nfrom thing import NAME\n\nif TYPE_CHECKING:\n    from thing import two\n"
        "\n\ndef late():\n    import thing.inner.deep\n    from thing import inner\n"
    )
    (folder / "two.py").write_text("from thing.inner import deep\nfrom thing.one import late\n")
    (folder / "inner" / "deep.py").write_text("import thing.two as other\n")
    return folder


def test_all_imports_are_found_including_late_and_type_imports(package: Path) -> None:
    assert MAP["import_graph"](package) == {
        "inner": set(),
        "inner.deep": {"two"},
        "one": {"inner", "inner.deep", "two"},
        "two": {"inner.deep", "one"},
    }


def test_the_picture_shows_every_part_and_every_direct_import() -> None:
    between = {"cli": {"output", "model"}, "output": {"model"}}
    drawn = MAP["_picture"](between)
    assert drawn.count('class="box"') == len(PARTS)
    assert drawn.count("<path d=") - 1 == 2  # without the arrowhead
