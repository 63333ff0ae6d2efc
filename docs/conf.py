"""Configures Sphinx: builds the site from the sources that mystmd reads, in the order of `myst.yml`.

Pages with code cells are executed in the session of `JUPYTER_BASE_URL` and `JUPYTER_TOKEN`, so build under
`clinder run`, like `.ci/docs`.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from sphinx.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

HERE = Path(__file__).parent
CONTENTS: dict[str, Any] = yaml.safe_load((HERE / "myst.yml").read_text(encoding="utf-8"))["project"]

for name in ("URL", "AUTH_TOKEN"):
    given = "JUPYTER_TOKEN" if name == "AUTH_TOKEN" else "JUPYTER_BASE_URL"
    if given not in os.environ:
        raise ConfigError(f"{given} is not set: pages are executed in a session, so build under `clinder run`")
    os.environ[f"JUPYTER_GATEWAY_{name}"] = os.environ[given]  # before jupyter_server reads it
sys.path.insert(0, str(HERE / "examples" / "tools"))

from jupyter_cache.executors import utils as executors  # noqa: E402
from session_kernel import SessionKernelManager  # noqa: E402

executors.executenb = functools.partial(executors.executenb, kernel_manager_class=SessionKernelManager)

project = CONTENTS["title"]
author = "The clinder developers"
copyright = f"{author}, {CONTENTS['license']}"  # noqa: A001  # Sphinx's name
release = re.search(r'^__version__ = "(.+)"$', (HERE.parent / "clinder/__init__.py").read_text(), re.MULTILINE)[1]
extensions = ["myst_nb"]
exclude_patterns = ["_build", "examples", "README.md"]
myst_enable_extensions = ["colon_fence"]
suppress_warnings = [
    "misc.highlighting_failure"
]  # a shell session with an apostrophe in its output is highlighted anyway
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
pygments_style, pygments_dark_style = "friendly", "github-dark"
smartquotes = False  # keeps the two dashes of options
html_theme = "furo"
html_title = f"clinder {release}"
html_favicon = "static/favicon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": CONTENTS["github"],
    "source_branch": "main",
    "source_directory": "docs/",
}
html_copy_source = html_show_sourcelink = False


def _toctrees(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Generate a hidden toctree for the pages outside of any part, and one for each part."""
    yield _toctree("", [entry for entry in entries if "children" not in entry and entry["file"] != "index.md"])
    for entry in entries:
        if "children" in entry:
            yield _toctree(entry["title"], entry["children"])


def _toctree(caption: str, entries: list[dict[str, Any]]) -> str:
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"\n```{{toctree}}\n{options}\n" + "\n".join(entry["file"] for entry in entries) + "\n```\n"


def _add_contents(_app: Sphinx, name: str, text: list[str]) -> None:
    """Add the toctrees to the first page; mystmd reads `myst.yml` itself."""
    if name == "index":
        text[0] += "".join(_toctrees(CONTENTS["toc"]))


def setup(app: Sphinx) -> None:
    """Register the change of the first page."""
    app.connect("source-read", _add_contents)
