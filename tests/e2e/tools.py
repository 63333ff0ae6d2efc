"""The tools that are used with sessions: MyST, Jupyter Book, a browser, shells. Installed once and reused.

The usual clients install them from npm, PyPI and Debian, into the folder that `CLINDER_TEST_TOOLS` names. If a tool
cannot be installed, the tests that need it fail instead of being skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from installing import installer_environment

FOLDER = Path(os.environ.get("CLINDER_TEST_TOOLS") or Path.home() / ".cache" / "clinder-tests")
INSTALL_LIMIT_S = 600.0
MYST = "mystmd@1.8.3"
JUPYTER_BOOK = "jupyter-book==2.*"
PLAYWRIGHT = "playwright-core@1.65.1"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"


def _install(what: str, *commands: list[str], cwd: Path | None = None) -> None:
    for command in commands:
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=installer_environment(),
                capture_output=True,
                text=True,
                timeout=INSTALL_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.fail(f"{what} could not be installed: {error}")
        if done.returncode != 0:
            pytest.fail(f"{what} could not be installed by {' '.join(command)}:\n{done.stdout}{done.stderr}")


def npm_package(package: str) -> Path:
    """Install an npm package (`name@version`) and return its `.bin` folder, which is next to the package."""
    folder = FOLDER / f"npm-{package.replace('/', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "installed").exists():
            (folder / "package.json").write_text(json.dumps({"name": "clinder-tests", "private": True}))
            npm = shutil.which("npm") or "npm"
            _install(package, [npm, "install", "--no-audit", "--no-fund", "--no-save", package], cwd=folder)
            (folder / "installed").touch()
    return folder / "node_modules" / ".bin"


def python_packages(name: str, *packages: str) -> Path:
    """Install PyPI packages into a separate environment and return its folder of programs."""
    folder = FOLDER / f"python-{name}-{sys.version_info.major}.{sys.version_info.minor}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = "\n".join(packages)
    marker = folder / "installed"
    with FileLock(folder / "lock"):
        if not marker.exists() or marker.read_text() != wanted:
            environment = folder / "environment"
            python = str(environment / _SCRIPTS / "python")
            make = [sys.executable, "-m", "venv", "--clear", str(environment)]
            install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, *packages]
            _install(name, make, install)
            marker.write_text(wanted)
    return folder / "environment" / _SCRIPTS


def debian_package(package: str, *programs: str) -> str:
    """Find a program or install the Debian package that contains it, and return its path."""
    for program in programs:
        if found := shutil.which(program):
            return found
    as_root = [] if hasattr(os, "getuid") and os.getuid() == 0 else ["sudo", "-n"]
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / "apt.lock"):
        if not any(map(shutil.which, programs)):
            _install(package, [*apt, "update"], [*apt, "install", "--no-install-recommends", package])
    found = next((path for program in programs if (path := shutil.which(program))), None)
    assert found is not None, f"{package} is installed, but none of {programs} is on PATH"
    return found


@pytest.fixture(scope="session")
def myst() -> str:
    """MyST's command line, from npm."""
    return str(npm_package(MYST) / "myst")


@pytest.fixture(scope="session")
def jupyter_book() -> str:
    """Jupyter Book 2's command line, from PyPI; it needs Node.js."""
    return str(python_packages("jupyter-book", JUPYTER_BOOK) / "jupyter-book")


@pytest.fixture(scope="session")
def chromium() -> str:
    """A Chromium or Chrome."""
    return debian_package("chromium", *CHROMIUMS)


@pytest.fixture(scope="session")
def playwright() -> Path:
    """The folder of `playwright-core`, which drives a browser but contains none."""
    return npm_package(PLAYWRIGHT).parent / "playwright-core"


@pytest.fixture(scope="session")
def fish() -> str:
    """The shell fish."""
    return debian_package("fish", "fish")


@pytest.fixture(scope="session")
def zsh() -> str:
    """The shell zsh."""
    return debian_package("zsh", "zsh")
