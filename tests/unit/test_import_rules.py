"""What may import what: the parts of `docs/code_map.py`, from the commands down to the words, and who may do what."""

from __future__ import annotations

import ast
import graphlib
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

MAP: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "code_map.py"))
FILES: dict[str, Path] = MAP["module_files"]()
GRAPH: dict[str, set[str]] = MAP["import_graph"]()
PARTS = {part.name: part for part in MAP["PARTS"]}


def part_of(module: str) -> str:
    return str(MAP["part_of"](module))


def importers(*libraries: str) -> set[str]:
    """Name the parts, and within hubs the modules, that import a library when they run."""
    found = set()
    for module, file in FILES.items():
        for node in MAP["_running"](ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in libraries for name in names):
                found.add(module if part_of(module) in ("hubs", "talking", "declaring") else part_of(module))
    return found


def test_nothing_imports_in_circles() -> None:
    assert len(list(graphlib.TopologicalSorter(GRAPH).static_order())) == len(GRAPH)


def test_every_module_has_its_place_in_one_part() -> None:
    for module in GRAPH:
        places = [part.name for part in PARTS.values() for name in part.modules if f"{module}.".startswith(f"{name}.")]
        assert len(places) == 1, f"say in docs/code_map.py where clinder.{module} belongs"


@pytest.mark.parametrize("name", PARTS)
def test_a_part_imports_what_it_may_and_may_import_what_it_does(name: str) -> None:
    assert MAP["imports_between_parts"](GRAPH)[name] == set(PARTS[name].may_import)


def test_a_part_imports_only_what_stands_below_it() -> None:
    order = list(PARTS)
    for name, part in PARTS.items():
        assert all(order.index(other) > order.index(name) for other in part.may_import)


def test_deciding_is_pure() -> None:
    assert GRAPH["plan"] == {"observation"}
    assert importers("requests", "socket", "subprocess") & {"keeping"} == set()


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("typer", {"commands"}),
        ("rich", {"output"}),
        ("requests", {"transport"}),
        ("urllib3", {"transport", "hubs.binderhub", "hubs.body"}),
    ],
    ids=["typer", "rich", "requests", "urllib3"],
)
def test_a_library_is_used_where_it_is_wrapped(library: str, allowed: set[str]) -> None:
    assert importers(library) == allowed


def test_the_embedded_hub_is_entered_by_few_doors() -> None:
    inner = re.compile(r"hubs\.(local|serve)\b")
    doors = {name for name, found in GRAPH.items() if any(map(inner.match, found)) and not inner.match(name)}
    assert doors == {"hubs.embedded", "stopping", "cli.hub"}


def test_only_one_module_makes_command_lines_of_git() -> None:
    """Where each call is kept from running what a repository names."""
    making = set()
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            first = node.elts[0] if isinstance(node, ast.List | ast.Tuple) and node.elts else None
            if isinstance(first, ast.Constant) and first.value in ("git", "git.exe"):
                making.add(module)
    assert making == {"git"}


def test_only_output_commands_and_the_action_write_to_the_screen() -> None:
    writing = set()
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called == "print" or re.fullmatch(r"sys\.(stdout|stderr)(\.buffer)?\.write", called):
                writing.add(part_of(module))
    assert writing <= {"output", "commands", "GitHub Actions"}


# The map itself


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


def test_imports_are_read_late_ones_too_and_those_for_types_are_not(package: Path) -> None:
    assert MAP["import_graph"](package) == {
        "inner": set(),
        "inner.deep": {"two"},
        "one": {"inner", "inner.deep"},
        "two": {"inner.deep", "one"},
    }


def test_a_picture_has_a_box_for_each_part_and_an_arrow_for_each_direct_import() -> None:
    between = {"commands": {"output", "words"}, "output": {"words"}}
    drawn = MAP["_picture"](between)
    assert drawn.count('class="box"') == len(PARTS)
    assert drawn.count("<path d=") - 1 == 2  # the arrow's head is one more
