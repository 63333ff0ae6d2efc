"""Draws the map of the code from its imports: which part holds which modules, and what each part imports.

`docs/generate.py` writes the page and the picture; `tests/unit/test_import_rules.py` keeps the rules.
"""

from __future__ import annotations

import ast
import html
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import clinder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PACKAGE = Path(clinder.__file__).parent
DOCS = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """Some modules that belong together.

    Attributes:
        name: what the part is called.
        purpose: what it is for.
        modules: their names within `clinder`; a package stands for all that it holds.
        may_import: the parts that it may import.
    """

    name: str
    purpose: str
    modules: tuple[str, ...]
    may_import: tuple[str, ...]


PARTS = (
    Part(
        "commands",
        "Reads options, calls one function, hands the result to the output.",
        ("cli", "__main__"),
        (
            "GitHub Actions",
            "output",
            "using",
            "Python",
            "keeping",
            "launching",
            "hubs",
            "declaring",
            "remembering",
            "words",
        ),
    ),
    Part(
        "GitHub Actions",
        "What the action's step does and says.",
        ("ci",),
        ("output", "using", "keeping", "launching", "declaring", "remembering", "words"),
    ),
    Part(
        "output",
        "Progress, tables, JSON, the log; the one place that cleans what a hub says.",
        ("output",),
        ("declaring", "words"),
    ),
    Part(
        "using",
        "A command under a session, the session's environment, the browser.",
        ("runner", "child", "watch", "use", "browser"),
        ("keeping", "launching", "remembering", "talking", "words"),
    ),
    Part(
        "Python",
        "Sessions without files and without a record.",
        ("api", "unrecorded"),
        ("keeping", "launching", "declaring", "words"),
    ),
    Part(
        "keeping",
        "Reads everything, decides, acts: `up`, `down`, `status`, `plan`.",
        ("lifecycle", "acting", "looking", "plan", "outcomes"),
        ("launching", "declaring", "remembering", "words"),
    ),
    Part(
        "launching",
        "From a request to a session that works, and from a session to none.",
        ("launching", "stopping", "circumstances", "interrupts"),
        ("hubs", "talking", "remembering", "words"),
    ),
    Part(
        "hubs",
        "BinderHub over HTTP, the embedded hub, and the embedded hub over HTTP.",
        ("hubs",),
        ("talking", "declaring", "words"),
    ),
    Part(
        "talking",
        "HTTP: one client for all, and a Jupyter Server's REST API.",
        ("transport", "jupyter"),
        ("words",),
    ),
    Part(
        "remembering",
        "The session, and the record of it in `.clinder`.",
        ("state", "sessions", "records"),
        ("declaring", "words"),
    ),
    Part(
        "declaring",
        "`clinder.toml`, options, variables; whose files count; repositories and links; what a folder says of itself.",
        (
            "config",
            "settings",
            "schema",
            "places",
            "trust",
            "untrusted",
            "untrusted_yaml",
            "discovery",
            "scaffold",
            "repository",
            "git",
        ),
        ("words",),
    ),
    Part(
        "words",
        "Errors, what a hub says, what was seen of a session, times, hosts, what is hidden, files, values shown.",
        ("errors", "events", "phases", "observation", "duration", "hosts", "hidden", "files", "folders", "display"),
        (),
    ),
)
"""From the top to the bottom: a part imports only what stands below it."""

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
    """Find what each module imports of the package when it runs, also late; imports for types alone do not count."""
    files = module_files(package)
    return {name: set(_imported(file, package.name, files)) - {name} for name, file in files.items()}


def _imported(file: Path, package: str, known: Iterable[str]) -> Iterator[str]:
    for node in _running(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix(f"{package}.") in known else node.module for name in inner]
        for name in names:
            if name.startswith(f"{package}."):
                yield name.removeprefix(f"{package}.")


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, but for what stands under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _running(child)


def part_of(module: str) -> str:
    """Name the part that a module belongs to; none where nobody has said."""
    return next((part.name for part in PARTS for name in part.modules if f"{module}.".startswith(f"{name}.")), "")


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
        "From top to bottom: a part imports only what stands below it, and nothing imports in circles. Where a part",
        "imports many others, the picture leaves out what can be reached through another. Types do not count.",
        "",
        "![The parts of clinder from commands down to words, with arrows for imports](pictures/code-map.svg)",
    ]
    files = module_files()
    for part in PARTS:
        allowed = ", ".join(part.may_import) or "nothing"
        lines += ["", f"## {part.name}", "", part.purpose, "", f"May import: {allowed}.", ""]
        lines += ["| module | what it is for |", "| --- | --- |"]
        lines += [f"| `{name}` | {_said(file)} |" for name, file in files.items() if part_of(name) == part.name]
    return "\n".join(lines) + "\n"


def _said(file: Path) -> str:
    """Take the first sentence of a module's docstring."""
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    return text.split(". ")[0].rstrip(".").replace("|", "\\|")


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
    modules = html.escape(", ".join(part.modules))
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
