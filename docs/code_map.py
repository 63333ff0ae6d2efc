"""Draws the map of the code from its imports: which folder holds which modules, and what each folder imports.

`docs/generate.py` writes the page and the picture. The layers themselves stand in `pyproject.toml`, where import-linter
checks them.
"""

from __future__ import annotations

import ast
import html
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import clinder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PACKAGE = Path(clinder.__file__).parent
DOCS = Path(__file__).parent
PROJECT = DOCS.parent / "pyproject.toml"


@dataclass(frozen=True)
class Part:
    """One layer of the package: a folder, or a module that lies directly in it.

    Attributes:
        name: the folder's name, or the module's.
        purpose: what it is for: the first sentence of its docstring.
    """

    name: str
    purpose: str


def _parts() -> tuple[Part, ...]:
    """Read the layers from import-linter's contract, from the top to the bottom."""
    settings = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(each["layers"] for each in settings["contracts"] if each["type"] == "layers")
    names = [layer.removeprefix("clinder.") for layer in layers]
    return tuple(Part(name, _purpose(name)) for name in names)


def _purpose(name: str) -> str:
    folder = PACKAGE / name
    return _summary(folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")) + "."


Graph = dict[str, set[str]]


def module_files(package: Path = PACKAGE) -> dict[str, Path]:
    """Find every module, by its name within the package; the package itself is left out, for it holds names alone."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            files[name] = file
    return files


def import_graph(package: Path = PACKAGE) -> Graph:
    """Find what each module imports of the package, late imports and those for types included."""
    files = module_files(package)
    return {name: set(_imported(file, package.name, files)) - {name} for name, file in files.items()}


def _imported(file: Path, package: str, known: Iterable[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix(f"{package}.") in known else node.module for name in inner]
        for name in names:
            if name.startswith(f"{package}."):
                yield name.removeprefix(f"{package}.")


def part_of(module: str) -> str:
    """Name the part that a module belongs to."""
    return module.partition(".")[0]


def imports_between_parts(graph: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Find which parts each part imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, imported in graph.items():
        found[part_of(module)] |= {part_of(other) for other in imported} - {part_of(module)}
    return found


def files() -> dict[Path, str]:
    """Make the page and the picture, by path."""
    graph = import_graph()
    return {DOCS / "code-map.md": _page(), DOCS / "pictures" / "code-map.svg": _picture(imports_between_parts(graph))}


def _page() -> str:
    lines = [
        "# Map of the code",
        "",
        "<!-- Written by docs/generate.py from the code: change it there. -->",
        "",
        "Each folder of the package is a layer. A layer imports only from the layers below it, type imports included,",
        "and there are no import cycles; `lint-imports` checks both (`[tool.importlinter]` in `pyproject.toml`). The",
        "picture leaves out arrows that follow from others.",
        "",
        "![The layers of clinder, from the command line down to the model, and their imports](pictures/code-map.svg)",
    ]
    files = module_files()
    for part in PARTS:
        lines += ["", f"## {part.name}", "", part.purpose, "", "| module | what it is for |", "| --- | --- |"]
        lines += [f"| `{name}` | {_summary(file)} |" for name, file in files.items() if part_of(name) == part.name]
    return "\n".join(lines) + "\n"


def _summary(file: Path) -> str:
    """Get the first sentence of a module's docstring."""
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    return text.split(". ")[0].rstrip(".").replace("|", "\\|")


PARTS = _parts()
"""From the top to the bottom: a part imports only what stands below it."""

_STYLE = (
    "rect.paper{fill:#fff}text{font:13px system-ui,sans-serif;fill:#24292f}.name{font-weight:bold}"
    ".modules{font-size:11px;fill:#57606a}.box{fill:#fbeef1;stroke:#e66581}"
    "path{fill:none;stroke:#57606a;stroke-width:1.3;marker-end:url(#end)}"
    "#end path{fill:#57606a;stroke:none;marker-end:none}"
    "@media(prefers-color-scheme:dark){rect.paper{fill:#131416}text{fill:#e6edf3}.modules{fill:#9da7b1}"
    ".box{fill:#2b1d21}path{stroke:#9da7b1}#end path{fill:#9da7b1}}"
)
_ROW_PX, _LEFT_PX, _WIDTH_PX, _MARGIN_PX = 54, 10, 470, 14
_BEND_PX, _LANE_PX = 6, 18


def _picture(between: Mapping[str, set[str]]) -> str:
    """Draw the parts as rows, and an arrow on the right for each import that no chain of others stands for."""
    rows = {part.name: number for number, part in enumerate(PARTS)}
    arrows = sorted(_direct(between), key=lambda ends: rows[ends[1]] - rows[ends[0]])
    lanes: list[list[tuple[int, int]]] = []
    drawn = []
    for upper, lower in arrows:
        span = (rows[upper], rows[lower])
        free = (n for n, taken in enumerate(lanes) if all(span[1] <= top or end <= span[0] for top, end in taken))
        lane = next(free, len(lanes))
        lanes[lane:] = lanes[lane:] or [[]]
        lanes[lane].append(span)
        drawn.append(_arrow(*span, lane))
    boxes = [_box(part, rows[part.name]) for part in PARTS]
    width = _LEFT_PX + _WIDTH_PX + 16 + _LANE_PX * len(lanes) + _MARGIN_PX
    height = len(PARTS) * _ROW_PX + 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        "<title>The parts of clinder, and what they import</title>",
        f"<style>{_STYLE}</style>",
        '<marker id="end" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 Z"/></marker>',
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>',
    )
    return "\n".join([*head, *boxes, *drawn, "</svg>", ""])


def _arrow(upper: int, lower: int, lane: int) -> str:
    """Draw an arrow from a row out to its lane, down, and back in at another row."""
    left, top, bottom = _LEFT_PX + _WIDTH_PX, upper * _ROW_PX + 34, lower * _ROW_PX + 22
    right = left + 16 + _LANE_PX * lane
    begin = f"M{left} {top} H{right - _BEND_PX} Q{right} {top} {right} {top + _BEND_PX}"
    end = f"V{bottom - _BEND_PX} Q{right} {bottom} {right - _BEND_PX} {bottom} H{left + 3}"
    return f'<path d="{begin} {end}"/>'


def _box(part: Part, row: int) -> str:
    top = row * _ROW_PX + 6
    modules = html.escape(part.purpose)
    return (
        f'<rect class="box" x="{_LEFT_PX}" y="{top}" width="{_WIDTH_PX}" height="{_ROW_PX - 10}" rx="5"/>'
        f'<text class="name" x="{_LEFT_PX + 10}" y="{top + 18}">{html.escape(part.name)}</text>'
        f'<text class="modules" x="{_LEFT_PX + 10}" y="{top + 35}">{modules}</text>'
    )


def _direct(between: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Leave out what can be reached through another part."""

    def reached(part: str) -> set[str]:
        return set(between.get(part, ())).union(*(reached(other) for other in between.get(part, ())))

    for upper, lowers in between.items():
        for lower in lowers:
            if not any(lower in reached(other) for other in lowers - {lower}):
                yield upper, lower
