"""Shared parts of the tests of the embedded hub: a private cache, repositories, and a check for leftover processes."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import requests

from clinder.localhub.hub import LocalHub
from clinder.model.events import Event, Phase
from clinder.model.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 60.0
PACKAGE_CACHES = {
    "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
    "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
}


def eventually(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.02)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process with this folder in its arguments, environment or working directory."""
    found = []
    for process in psutil.process_iter():
        if process.pid in (os.getpid(), os.getppid()):
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            texts = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.Error, OSError):  # OSError: the path of a folder is too long
            continue
        if any(str(folder) in text for text in texts):
            found.append(process)
    return found


@contextmanager
def environment_variables(folder: Path) -> Iterator[Path]:
    """A separate home and cache; at the end, every process that uses them must be gone."""
    home, cache = folder / "home", folder / "cache"
    home.mkdir()
    variables = PACKAGE_CACHES | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "CLINDER_CACHE_DIR": str(cache),
        "GIT_AUTHOR_NAME": "A. Researcher",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A. Researcher",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield cache
    with suppress(AssertionError):  # what was just killed may take a moment
        eventually(lambda: not processes_of(folder), "every process has ended", 10)
    left = processes_of(folder)
    for process in left:
        process.kill()
    assert not left, f"left running: {left}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache folder of the embedded hub for one test."""
    with environment_variables(tmp_path) as folder:
        yield folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def checkout(folder: Path, **files: str) -> Path:
    """Create a git checkout of these files on the branch main; `__` in a name stands for a dot."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return commit(folder, **(files or {"README__md": "a cookbook\n"}))


def commit(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")
    return folder


def wheel(folder: Path, name: str, **files: str) -> str:
    """Write a wheel with these files and return its name; it can be installed without an index."""
    info = f"{name}-1.0.dist-info"
    contents = {file.replace("__", "."): text for file, text in files.items()} | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for file, text in contents.items():
        sha = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={sha},{len(text.encode())}\n")
    contents[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in contents.items():
            archive.writestr(file, text)
    return path.name


def local(folder: Path, ref: str = "HEAD") -> RepositorySpec:
    return RepositorySpec("local", str(folder), ref)


def cloned(folder: Path, ref: str = "HEAD") -> RepositorySpec:
    return RepositorySpec("git", folder.as_uri(), ref)


class Session:
    """A session from the user's point of view."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.headers = {"Authorization": f"token {token}"}

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers=self.headers, timeout=LIMIT_S, allow_redirects=False)

    def post(self, path: str, json: object = None) -> requests.Response:
        return requests.post(self.url + path, headers=self.headers, json=json, timeout=LIMIT_S, allow_redirects=False)

    def files(self) -> set[str]:
        return {entry["name"] for entry in self.get("api/contents").json()["content"]}

    def text(self, name: str) -> str:
        return str(self.get(f"api/contents/{name}").json()["content"])


def launched(spec: RepositorySpec, hub: LocalHub | None = None) -> tuple[list[Event], Session]:
    events = list((hub or LocalHub()).events(spec))
    last = events[-1]
    assert last.phase is Phase.READY, last
    return events, Session(last.details["url"], last.details["token"])


def failure(spec: RepositorySpec, hub: LocalHub | None = None) -> Event:
    *before, last = (hub or LocalHub()).events(spec)
    assert last.phase is Phase.FAILED, last
    assert Phase.FAILED not in [event.phase for event in before]
    return last


def phases(events: list[Event]) -> list[Phase | None]:
    """The phases of these events, each once."""
    return list(dict.fromkeys(event.phase for event in events))


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
