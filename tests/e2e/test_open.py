"""`clinder open` logs a real browser into the session without exposing its token."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from books import kept_cache, notebook, place
from browsing import LIMIT_S, browser_command, findings
from commands import clinder
from embedded import checkout
from tools import chromium, playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["chromium", "kept_cache", "place", "playwright"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in for the browser is a script with a #! line")
BROWSER = """#!{python}
import json, os, subprocess, sys, urllib.request
(address,) = sys.argv[1:]
path = urllib.request.url2pathname(address.removeprefix("file://"))
seen = {{"address": address, "path": path, "mode": os.stat(path).st_mode, "page": open(path).read()}}
seen["arguments"] = open(f"/proc/{{os.getppid()}}/cmdline").read() if os.path.isdir("/proc/self") else ""
seen["environment"] = dict(os.environ)
driver = {driver!r}
if driver:
    done = subprocess.run([*driver, address], capture_output=True, text=True)
    seen["driven"] = [done.returncode, done.stdout, done.stderr]
with open({seen!r}, "w") as file:
    json.dump(seen, file)
"""


@pytest.fixture(scope="module")
def project(place: Path) -> Iterator[Path]:
    """A project whose session has JupyterLab, which its repository requires."""
    code = "import os; print('answer', 6 * 7, os.path.basename(os.getcwd()))"
    folder = place / "project"
    folder.mkdir()
    repository = checkout(folder / "repository", requirements__txt="jupyterlab\n", hello__ipynb=notebook(code))
    (folder / "clinder.toml").write_text(
        f'hub = "local"\nrepo = "{repository.as_uri()}"\n[session]\npath = "lab/tree/hello.ipynb"\nwarm = "off"\n'
    )
    clinder(folder, "up", "-q", limit_s=LIMIT_S)
    yield folder
    clinder(folder, "down", "-q")


@pytest.fixture
def token(project: Path, kept_cache: Path) -> str:
    return str(clinder(project, "status", "--json", "--show-token").document["token"])


def opened_with(folder: Path, project: Path, *arguments: str, driver: list[str] | None = None) -> dict[str, Any]:
    """Open the session in a fake browser, and return its arguments and page."""
    browser, seen = folder / "browser", folder / "seen.json"
    browser.write_text(BROWSER.format(python=sys.executable, driver=driver or [], seen=str(seen)))
    browser.chmod(0o755)
    done = clinder(project, "open", *arguments, env={**os.environ, "BROWSER": str(browser)}, limit_s=LIMIT_S)
    assert seen.exists(), f"the stand-in for the browser failed: {done}"
    found: dict[str, Any] = json.loads(seen.read_text())
    return {**found, "stdout": done.stdout, "stderr": done.stderr}


def test_jupyterlab_loads_logged_in_and_a_cell_runs(
    project: Path, token: str, chromium: str, playwright: Path, tmp_path: Path
) -> None:
    driver = browser_command("drive.mjs", playwright, chromium, tmp_path)
    seen = findings(*opened_with(tmp_path, project, driver=driver)["driven"])
    assert seen["output"] == "answer 42 work"
    assert "/lab/tree/hello.ipynb" in seen["address"]
    assert token not in seen["address"]
    assert not [address for address in seen["history"] if token in address]


def test_neither_browser_arguments_nor_messages_contain_the_token(project: Path, token: str, tmp_path: Path) -> None:
    seen = opened_with(tmp_path, project)
    shown = json.dumps([seen["address"], seen["arguments"], seen["stdout"], seen["stderr"], seen["environment"]])
    assert token not in shown
    assert token in seen["page"]


def test_the_page_is_private_and_removed(project: Path, token: str, tmp_path: Path) -> None:
    seen = opened_with(tmp_path, project, "tree")
    assert stat.S_IMODE(seen["mode"]) == 0o600
    assert "/tree?token=" in seen["page"]
    assert not Path(seen["path"]).exists()


def test_without_a_browser_the_link_is_printed(project: Path, token: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")}
    done = clinder(project, "open", "lab/tree/a b.ipynb", env=env)
    assert done.stdout.endswith(f"/lab/tree/a%20b.ipynb?token={token}\n")
    assert "No browser was found" in done.stderr


def test_print_does_not_open_a_browser(project: Path, token: str, tmp_path: Path) -> None:
    done = clinder(project, "open", "--print", env={**os.environ, "BROWSER": str(tmp_path / "no-browser")})
    assert done.stdout.endswith(f"/lab/tree/hello.ipynb?token={token}\n")


def test_the_link_is_printed_if_the_browser_does_not_start(project: Path, token: str) -> None:
    assert token in clinder(project, "open", env={**os.environ, "BROWSER": "/no/such/browser"}).stdout


def test_open_without_a_session_is_an_error(tmp_path: Path) -> None:
    assert "no session is recorded" in clinder(tmp_path, "open", expect=6).stderr
