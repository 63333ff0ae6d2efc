"""Records the pictures of the documentation by running the program: `bash .ci/pictures [FOLDER]`.

A test hub replays a build, faster than a real one. `clinder up` runs twice against it on a separate terminal, so that
there is a median, and then a step of the action runs. Their output is recorded unchanged.
"""

from __future__ import annotations

import html
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyte
from markdown_it import MarkdownIt
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
PICTURES = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else DOCS / "pictures"
sys.path[:0] = [str(DOCS.parent / "tests"), str(DOCS.parent / "tests" / "e2e")]

import tools  # noqa: E402
from browsing import LIMIT_S  # noqa: E402
from hub.servers import JupyterSession, Server, event, stream  # noqa: E402
from runner.job import Job  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hub.servers import Connection, Handler, Piece

REPOSITORY = "ProjectPythia/radar-cookbook"
IMAGE = "registry/radar-cookbook:8c2e82b"
MERMAID = "mermaid@11.12.0"
COLUMNS, LINES = 100, 18
_MORE_THAN_HALF = re.compile("━{15,}[╸╺]")
"""A bar of 30 columns that is more than half full, and not quite."""
LAYERS = {"0f3a": 310_000_000, "5c1d": 122_000_000, "a9e2": 64_000_000, "d410": 18_000_000}
BUILD = """Building conda environment for python=3.12
Transaction starting
Linking numpy-2.3.4-py312h33ff503_0
Linking xarray-2025.10.1-pyhd8ed1ab_0
Linking arm_pyart-2.1.1-py312hc0a28a1_0
Linking matplotlib-3.10.7-py312h7900ff3_0
Linking jupyterlab-4.4.10-pyhd8ed1ab_0
Transaction finished
Removing intermediate container 4c2f1a9be0d7
Successfully tagged radar-cookbook:8c2e82b
"""
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="820" role="img">
<title>{title}</title>
<style>
.{unique_id}-matrix {{font: {char_height}px Menlo, Consolas, "DejaVu Sans Mono", monospace}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class _Screen(pyte.Screen):
    """A terminal that supports faint text, stored as blinking text."""

    def select_graphic_rendition(self, *attrs: int, **options: bool) -> None:
        super().select_graphic_rendition(*({2: 5}.get(attr, attr) for attr in attrs), **options)
        if attrs == (22,):
            super().select_graphic_rendition(25)


def _shown(screen: pyte.Screen) -> list[Text]:
    """Get the lines on the screen, without the empty ones at its end."""
    lines = []
    for row in range(screen.lines):
        line = Text()
        cells = (screen.buffer[row][column] for column in range(screen.columns))
        for style, run in itertools.groupby(cells, _style):
            line.append("".join(cell.data for cell in run), style=style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _style(cell: pyte.screens.Char) -> str:
    color = "" if cell.fg == "default" else cell.fg if cell.fg.isalpha() else f"#{cell.fg}"
    return " ".join(word for word in ("bold" if cell.bold else "", "dim" if cell.blink else "", color) if word)


def _save_terminal(lines: list[Text], name: str, title: str) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, no_wrap=True)
    drawn = console.export_svg(title=title, code_format=_SVG.replace("{title}", html.escape(title)), unique_id=name)
    (PICTURES / f"{name}.svg").write_text(drawn, encoding="utf-8")


def _pushing(done: float) -> bytes:
    layers = {layer: {"current": int(min(size, size * done)), "total": size} for layer, size in LAYERS.items()}
    return event("pushing", "Pushing image\n", progress=layers)


def _playing(session: JupyterSession, at_half: Callable[[Connection], None], slowness: float = 1) -> Handler:
    """Replay a build; `at_half` is called when half of the image is pushed."""
    pieces: list[Piece] = [event("waiting", "Waiting for build to start...\n"), 0.3]
    pieces += [event("fetching", "Cloning into '/tmp/repo2docker'...\n"), 0.2]
    pieces += [event("fetching", "HEAD is now at 8c2e82b Add a notebook on snow\n"), 0.2]
    for line in BUILD.splitlines():
        pieces += [event("building", f"{line}\n"), 0.22]
    for tenth in range(1, 11):
        pieces += [_pushing(tenth / 10), 0.1]
        if tenth == 6:  # noqa: PLR2004  # a little past the half
            pieces.append(at_half)
    pieces += [event("built", "Built image, launching...\n", imageName=IMAGE), 0.05]
    pieces += [event("launching", "Launching server...\n"), 0.8]
    commit = "8c2e82bfa0d50b3f0d8bd8a12a4ed77bd76d34b8"
    ready = session.ready(
        image=IMAGE,
        binder_ref_url=f"https://github.com/{REPOSITORY}/tree/{commit}",
        binder_persistent_request=f"v2/gh/{REPOSITORY}/{commit}",
    )
    return stream(*(piece * slowness if isinstance(piece, float) else piece for piece in pieces), ready)


def _on_a_terminal(folder: Path, screen: pyte.Screen, env: dict[str, str], *arguments: str) -> None:
    """Run `clinder` on a terminal until it ends, and update the screen."""
    ours, theirs = os.openpty()
    command = [str(Path(sys.executable).parent / "clinder"), *arguments]
    with subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        reader = pyte.ByteStream(screen)
        for piece in _read(ours):
            reader.feed(piece)
    os.close(ours)
    if process.returncode:
        sys.exit(f"clinder {' '.join(arguments)} failed:\n" + "\n".join(screen.display))


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other side is closed
            return
        if not piece:
            return
        yield piece


def record_terminal(folder: Path, env: dict[str, str]) -> None:
    """Record `clinder up` during the push of the image, and the timeline of its second launch."""
    screen = _Screen(COLUMNS, LINES)
    halves: list[list[Text]] = []

    def keep(connection: Connection) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not _MORE_THAN_HALF.search("".join(screen.display)) and time.monotonic() < deadline:
            connection.wait(0.05)
        halves.append(_shown(screen))

    with JupyterSession("radar-cookbook-x1y2z3") as session, Server() as hub:
        toml = f'hub = "{hub.url}"\nrepo = "{REPOSITORY}"\nref = "main"\n'
        (folder / "clinder.toml").write_text(toml, encoding="utf-8")
        hub.handler = _playing(session, lambda _: None, slowness=1.4)
        _on_a_terminal(folder, _Screen(COLUMNS, LINES), env, "up")
        _on_a_terminal(folder, _Screen(COLUMNS, LINES), env, "down")
        session.mode = "running"
        hub.handler = _playing(session, keep)
        _on_a_terminal(folder, screen, env, "up")
        _on_a_terminal(
            folder, _Screen(COLUMNS, LINES), env, "logs", "--timeline", "--svg", str(PICTURES / "timeline.svg")
        )
        _on_a_terminal(folder, _Screen(COLUMNS, LINES), env, "down")
    if not any(_MORE_THAN_HALF.search(line.plain) for line in halves[-1]):
        sys.exit("clinder up did not show how far the image was pushed:\n" + "\n".join(map(str, halves[-1])))
    _save_terminal(halves[-1], "launching", "clinder up, while the image is pushed")


def record_summary(folder: Path) -> None:
    """Record the job summary of the action."""
    folders = [folder / name for name in ("temp", "job", "workspace")]
    for made in folders:
        made.mkdir()
    with JupyterSession("radar-cookbook-x1y2z3") as session, Server(_playing(session, lambda _: None)) as hub:
        step = Job(*folders).step(hub_url=hub.url, repo=REPOSITORY, ref="main")
        ran = step.main()
        step.post()
    if ran.status:
        sys.exit(f"the action failed:\n{ran.output}")
    body = MarkdownIt("commonmark").enable("table").render(ran.summary)
    body = re.sub(
        r'<pre><code class="language-mermaid">(.*?)</code></pre>',
        r'<pre class="mermaid">\1</pre>',
        body,
        flags=re.DOTALL,
    )
    page = folder / "summary.html"
    page.write_text(f"<!doctype html><style>{_GITHUB}</style><main>{body}</main>", encoding="utf-8")
    draw(page, PICTURES / "summary.png")


_GITHUB = """
main {font: 16px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; padding: 16px 24px; width: 800px}
table {border-collapse: collapse} td, th {border: 1px solid #d1d9e0; padding: 6px 13px} thead {display: none}
code {font: 85% ui-monospace, monospace; background: #eff1f3; padding: 2px 5px; border-radius: 6px} a {color: #0969da}
pre {background: none; margin: 16px 0 0}
"""


def draw(source: Path, picture: Path) -> None:
    """Draw a Mermaid diagram as SVG, or a page as PNG."""
    playwright = tools.npm_package(tools.PLAYWRIGHT).parent / "playwright-core"
    mermaid = tools.npm_package(MERMAID).parent / "mermaid" / "dist" / "mermaid.min.js"
    chromium = tools.debian_package("chromium", *tools.CHROMIUMS)
    folder = tempfile.mkdtemp(prefix="clinder-browser-")  # if the script fails, it stays: a screenshot is in it
    command = ["node", str(DOCS / "record.mjs"), str(playwright), chromium, folder, str(mermaid), str(source)]
    if status := subprocess.run([*command, str(picture)], timeout=LIMIT_S, check=False).returncode:
        sys.exit(status)
    shutil.rmtree(folder)


def main() -> None:
    """Record every picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="clinder-pictures-") as temporary:
        folder = Path(temporary)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLINDER_", "GITHUB_"))}
        env = kept | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES), "NO_PROXY": "*"}
        (folder / "project").mkdir()
        record_terminal(folder / "project", env)
        record_summary(folder)
    draw(DOCS / "pictures" / "life.mmd", PICTURES / "life.svg")


if __name__ == "__main__":
    main()
