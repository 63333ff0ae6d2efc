"""One command builds the site, from sources that mystmd can also read, and it looks right in a browser."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from books import kept_cache, place
from browsing import LIMIT_S as BROWSER_LIMIT_S
from browsing import browser_command, findings
from commands import CLINDER
from embedded import processes_of
from filelock import FileLock
from tools import FOLDER, chromium, myst, playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["chromium", "kept_cache", "myst", "place", "playwright"]

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the site is built by a shell script"),
    pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="an unpacked source package has no CI files"),
]
LIMIT_S = 800.0


def built(sources: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout with its own script, in an environment that later runs reuse."""
    env = os.environ | {"CLINDER_VENV": str(FOLDER / "site"), "LC_ALL": "C.UTF-8"}
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["bash", str(sources / ".ci" / "docs"), str(site)]
    with FileLock(FOLDER / "site.lock"):
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.fixture(scope="module")
def site(place: Path) -> Path:
    """The built site."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINDER_CACHE_DIR", str(place / "cache"))
        for name in ("JUPYTER_BASE_URL", "JUPYTER_TOKEN"):
            patch.delenv(name, raising=False)
        done = built(ROOT, place / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "site"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the documentation that tests can change."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("_build", "__pycache__")
    shutil.copytree(ROOT / "docs", copy / "docs", ignore=ignored)
    shutil.copy(ROOT / "clinder.toml.example", copy)
    (copy / "clinder").mkdir()
    shutil.copy(ROOT / "clinder" / "__init__.py", copy / "clinder")
    return copy


def test_a_page_is_executed_in_a_session_that_is_then_stopped(site: Path, place: Path) -> None:
    page = (site / "executed.html").read_text(encoding="utf-8")
    assert "in sessions/hello-" in page
    assert "hello.ipynb" in page
    assert "<svg" in page
    assert processes_of(place) == []


def test_every_page_shows_the_contents_in_reading_order(site: Path) -> None:
    page = (site / "json.html").read_text(encoding="utf-8")
    contents = page.index("sidebar-tree")
    places = [
        page.index(f'href="{name}.html"', contents) for name in ("why", "tutorial", "how-to/settings", "commands/hub")
    ]
    places += [page.index(f'href="{name}.html"', contents) for name in ("reference/commands", "launch", "state")]
    assert places == sorted(places)


FAULTS = {
    "[nowhere](gone.md)": "gone.md",
    "[nowhere](state.md#gone)": "'gone'",
    "![nothing](gone.svg)": "gone.svg",
    "```{nosuch}\n```": "nosuch",
}


def test_an_error_in_a_page_fails_the_build(site: Path, sources: Path) -> None:
    """No page is executed here, so an unavailable session is sufficient."""
    for page in sources.rglob("*.md"):
        page.write_text(f"# {page.stem}\n", encoding="utf-8")
    lines = ["# State"]
    for words in FAULTS:
        lines += ["", *words.splitlines()]
    (sources / "docs" / "state.md").write_text("\n".join(lines), encoding="utf-8")
    env = os.environ | {"JUPYTER_BASE_URL": "http://127.0.0.1:9", "JUPYTER_TOKEN": "token"}
    command = [str(FOLDER / "site" / "bin" / "python"), str(sources / "docs" / "build.py"), str(sources / "site")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    for words, said in FAULTS.items():
        number = lines.index(words.splitlines()[0]) + 1
        assert re.search(rf"state\.md:{number}: WARNING: .*{re.escape(said)}", done.stderr), (words, done.stderr)


def test_the_site_is_not_built_without_a_session(site: Path, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_")}
    command = [str(FOLDER / "site" / "bin" / "python"), str(ROOT / "docs" / "build.py"), str(tmp_path / "site")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode != 0
    assert "JUPYTER_BASE_URL is not set" in done.stderr


def test_mystmd_builds_the_same_sources_without_warnings(sources: Path, myst: str) -> None:
    theme = sources / "docs" / "theme"
    theme.mkdir()
    (theme / "template.yml").write_text("myst: v1\n", encoding="utf-8")  # replaces the one from the network
    config = sources / "docs" / "myst.yml"
    config.write_text(config.read_text(encoding="utf-8").replace("template: book-theme", "template: ./theme"))
    hello = ["--config", str(sources / "docs" / "examples" / "hello" / "clinder.toml")]
    done = subprocess.run(
        [CLINDER, "run", "-q", *hello, "--", myst, "build", "--site", "--execute", "--strict"],
        cwd=sources / "docs",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert [line for line in said.splitlines() if "⚠" in line or "⛔" in line] == []
    (executed,) = (sources / "docs" / "_build" / "execute").iterdir()
    assert "in sessions/hello-" in executed.read_text(encoding="utf-8")


# In a browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base's name
        pass


@pytest.fixture(scope="module")
def check_pages(
    site: Path, chromium: str, playwright: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PageChecker]:
    """A function that checks pages of the site in a browser."""
    folder = tmp_path_factory.mktemp("browser")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = browser_command("look.mjs", playwright, chromium, folder)
        yield PageChecker([*command, f"http://127.0.0.1:{server.server_port}/"])
        server.shutdown()


class PageChecker:
    """A browser that visits pages and returns the problems of each."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __call__(self, *pages: str) -> dict[str, list[str]]:
        command = [*self._command, os.environ.get("CLINDER_TEST_PICTURES", ""), *pages]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BROWSER_LIMIT_S, check=False)
        found: dict[str, list[str]] = findings(done.returncode, done.stdout, done.stderr)
        return found


def test_every_page_looks_right_narrow_and_wide_light_and_dark(site: Path, check_pages: PageChecker) -> None:
    pages = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))
    assert len(pages) > 30
    assert check_pages(*pages) == {}


WRONG = {
    "overflow": (
        '<p style="width: 500px">Wide</p>',
        ["narrow, light: P sticks out", "narrow, dark: the page is 500 px wide"],
    ),
    "image": ('<img src="gone.png" alt="Gone" width="9">', ["wide, dark: broken image gone.png"]),
    "console": ("<script>console.error('oh')</script>", ["console: oh"]),
    "script": ("<script>nosuch()</script>", ["error: nosuch is not defined"]),
    "contrast": ('<p style="color: #999">Pale</p>', ['wide, light: P "Pale": contrast 2.8']),
    "scheme": ("<style>body {background: #fff !important}</style>", ["wide, dark: not in this colour scheme"]),
    "elsewhere": (
        '<img src="http://127.0.0.2:9/x.png" alt="X" width="9">',
        ["from elsewhere: http://127.0.0.2:9/x.png"],
    ),
    "nothing": ("<p>Well</p>", []),
}


@pytest.fixture(scope="module")
def problems(site: Path, check_pages: PageChecker) -> Iterator[dict[str, list[str]]]:
    """The problems found in pages with one error each."""
    head = '<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    style = "<style>body {margin: 0} @media (prefers-color-scheme: dark) {body {background: #111; color: #eee}}</style>"
    folder = site / "wrong"
    folder.mkdir()
    for name, (body, _) in WRONG.items():
        page = f"{head}{style}<body><main>{body}</main></body>"
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    yield check_pages(*(f"wrong/{name}.html" for name in WRONG))
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", WRONG)
def test_problems_of_a_page_are_found(name: str, problems: dict[str, list[str]]) -> None:
    said = set(WRONG[name][1])
    found = problems.get(f"wrong/{name}.html", [])
    assert said <= set(found)
    assert bool(said) == bool(found)
