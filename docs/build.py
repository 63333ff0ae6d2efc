"""Builds the site with Sphinx: `clinder run -- python docs/build.py FOLDER`. `.ci/docs` also installs what it needs.

Warnings are errors, and so are broken links within the built site. External links are not checked, because a build
needs no network.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SOURCES = Path(__file__).parent


class _Page(HTMLParser):
    """The links and the anchors of a page of the site."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Find missing targets of links, pictures, styles and scripts in a built site."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    broken = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages.get(file)
            if not file.is_file() or (known and unquote(parts.fragment) not in known.anchors):
                broken.append(f"{path.relative_to(site)}: {target}")
    return broken


def main() -> None:
    """Build the site into the given folder."""
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("usage: clinder run -- python docs/build.py FOLDER")
    site = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as doctrees:
        options = ["--fail-on-warning", "--keep-going", "--fresh-env", "--quiet", "--doctree-dir", doctrees]
        command = [sys.executable, "-m", "sphinx", "--builder", "html", *options, str(SOURCES), str(site)]
        if status := subprocess.run(command, check=False).returncode:
            sys.exit(status)
    if broken := broken_links(site):
        sys.exit("broken links:\n" + "\n".join(broken))


if __name__ == "__main__":
    main()
