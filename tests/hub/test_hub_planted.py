"""Planted contents of the state folder, from a checkout or another user: every name in it, as every kind of file.

No command hangs, follows it out of the folder, or ends with an internal error.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from clinder.model.session import Session
from clinder.state import State, StateFolder
from hub.forks import Forks
from hub.servers import LIMIT_S, event, stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.cluster import Cluster, Launched
    from hub.forks import Ended

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")

LOG = "20260101T000000.000Z-1"
NAMES = [
    ".",
    "state.json",
    "state.json.bak",
    "state.json.1.tmp",
    "state.lock",
    "state.holder.json",
    ".gitignore",
    "logs",
    f"logs/{LOG}.log",
    f"logs/{LOG}.json",
]
KINDS = ["pipe", "link to a file", "link to a folder", "link to nowhere", "link to /dev/zero", "folder", "socket"]
KINDS += ["second name", "closed", "another user"]
READING = [
    ("status",),
    ("plan",),
    ("logs",),
    ("logs", "--timeline"),
    ("logs", "--json"),
    ("logs", "--follow"),
    ("state", "show"),
    ("env", "--no-check"),
]
WRITING = [("up",), ("down",), ("run", "--", "true"), ("state", "forget", "--yes")]
STATUSES = {0, 2, 6, 8, 9}
OTHER_USER = 4321


@dataclass
class Checkout:
    """A project with the state of an earlier launch, and a folder outside of it that no command may touch."""

    project: Path
    outside: Path
    cluster: Cluster
    bait: Launched
    recorded: Launched

    @property
    def folder(self) -> Path:
        return self.project / ".clinder"

    def reset(self) -> None:
        """Restore everything: a recorded session that is gone, a log, and bait outside."""
        for folder in (self.folder, self.outside):
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            else:
                folder.unlink(missing_ok=True)
        self.recorded = self.cluster.add()
        self.recorded.mode = "404"
        state = StateFolder(self.folder)
        state.write(state.write(State(session=self.session(self.recorded))))
        (self.folder / "logs").mkdir()
        self.log(self.folder / "logs", "a log of this project")
        self.outside.mkdir()
        bait = StateFolder(self.outside / "bait")
        bait.write(State(session=self.session(self.bait)))
        shutil.copy(bait.file, self.outside / "file")
        self.log(self.outside, "a log of another project")
        for number in range(30):
            (self.outside / f"20250101T000000.0{number:02}Z-1.log").touch()

    def session(self, launched: Launched) -> Session:
        return Session(
            url=launched.url, token=launched.token, hub=self.cluster.url, provider="gh", repo="org/name", ref="main"
        )

    def log(self, folder: Path, text: str) -> None:
        (folder / f"{LOG}.log").write_text(f"{text}\n")
        (folder / f"{LOG}.json").write_text(json.dumps({"version": 1, "phases": [{"phase": "a", "seconds": 1}]}))

    def seen_outside(self) -> dict[str, object]:
        found: dict[str, object] = {"": stat.S_IMODE(self.outside.stat().st_mode)}
        for path in self.outside.rglob("*"):
            status = path.lstat()
            found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        return found

    def plant(self, name: str, kind: str) -> None:
        """Replace a name in the folder with something of this kind."""
        path = self.folder if name == "." else self.folder / name
        if kind in ("closed", "another user"):
            if not path.exists():
                path.touch()
            if kind == "closed":
                path.chmod(0)
            else:
                os.chown(path, OTHER_USER, OTHER_USER)
            return
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        links = {"file": self.outside / "file", "a folder": self.outside, "nowhere": self.outside / "nothing"}
        match kind.removeprefix("link to "):
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
                (path / "file").touch()
            case "socket":
                with socket.socket(socket.AF_UNIX) as bound:
                    bound.bind(os.path.relpath(path))  # the path of a socket has a short limit
            case "second name":
                os.link(self.outside / "file", path)
            case "/dev/zero":
                path.symlink_to("/dev/zero")
            case target:
                path.symlink_to(links[target.removeprefix("a ") if target == "a file" else target])


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[bool, Forks]]]:
    """A project, and commands that start immediately in it; those under `True` respect file modes even as root."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "project").mkdir()
    forks = {}
    for obeys_modes in (False, True):
        (folder / str(obeys_modes)).mkdir()
        forks[obeys_modes] = Forks(folder / "project", folder / str(obeys_modes), obeys_modes=obeys_modes)
    with forks[False], forks[True]:
        yield folder, forks


@pytest.fixture
def checkout(cluster: Cluster, python: tuple[Path, dict[bool, Forks]]) -> Checkout:
    folder, _ = python
    (folder / "project" / "clinder.toml").write_text(
        f'hub = "{cluster.url}"\nrepo = "org/name"\nref = "main"\n[session]\nwarm = "off"\n'
    )
    return Checkout(folder / "project", folder / "outside", cluster, cluster.add("bait"), cluster.add())


def assert_well_behaved(ended: Ended, command: tuple[str, ...]) -> None:
    assert ended.status in STATUSES, (command, ended)
    assert "clinder itself" not in ended.err, (command, ended)
    assert "Traceback" not in ended.err, (command, ended)
    assert "a log of another project" not in ended.out, (command, ended)


def up_status(name: str, kind: str) -> int:
    """The expected exit status of `up`: it launches unless the state or its lock cannot be trusted."""
    if kind == "second name":
        return 0
    return 9 if name in (".", "state.json", "state.lock") or (name, kind) == ("state.json.bak", "folder") else 0


def logs_status(name: str, kind: str) -> int:
    """The expected exit status of `logs`: an untrusted log is named, any other is shown."""
    if (name, kind) in ((".", "folder"), ("logs", "folder")):
        return 2
    return 9 if name in (".", "logs", f"logs/{LOG}.log") and kind != "second name" else 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_planted_files_neither_block_a_command_nor_lead_it_outside(
    checkout: Checkout,
    python: tuple[Path, dict[bool, Forks]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: str,
) -> None:
    if kind == "another user" and os.geteuid() != 0:
        pytest.skip("only root can change the owner of files")
    if kind == "second name" and name in (".", "logs"):
        pytest.skip("folders have no hard links")
    monkeypatch.chdir(checkout.project)
    forks = python[1][kind == "closed"]
    statuses = {}
    for commands in (READING, *([command] for command in (WRITING if kind == "pipe" else WRITING[:2]))):
        checkout.reset()
        before = checkout.seen_outside()
        checkout.plant(name, kind)
        for command, ended in zip(commands, forks.run_at_once(commands), strict=True):
            assert_well_behaved(ended, command)
            statuses[command] = ended.status
        if name == "." and kind == "closed":
            checkout.folder.chmod(0o700)
        assert checkout.seen_outside() == before, commands
        if kind == "another user" and name in (".", "state.json"):
            assert not checkout.recorded.was_asked
    assert (statuses["up",], statuses["logs",]) == (up_status(name, kind), logs_status(name, kind))
    assert checkout.bait.was_asked == ((name, kind) == ("state.json", "second name"))


@pytest.mark.parametrize("name", ["state.holder.json", "state.json.bak", "logs", f"logs/{LOG}.json", ".gitignore"])
def test_a_launch_with_a_planted_pipe_can_be_interrupted(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(checkout.project)
    checkout.reset()
    checkout.plant(name, "pipe")
    checkout.cluster.build = stream(event("waiting", "queued\n"), "hold")
    with subprocess.Popen(
        [sys.executable, "-m", "clinder", "up", "-q"], cwd=checkout.project, stderr=subprocess.PIPE
    ) as process:
        while not checkout.cluster.asked("/build/"):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 143


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act for another user")
def test_the_owner_of_a_folder_can_continue_after_root(
    checkout: Checkout, python: tuple[Path, dict[bool, Forks]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (("up",), ("down",), ("state", "forget", "--yes")):
        checkout.reset()
        for path in (checkout.project, checkout.folder, *checkout.folder.rglob("*")):
            os.chown(path, OTHER_USER, OTHER_USER)
        done = subprocess.run(
            [sys.executable, "-m", "clinder", *command, "-q"],
            cwd=checkout.project,
            env={**os.environ, "SUDO_UID": str(OTHER_USER)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        owned = {path.name: path.stat().st_uid for path in [checkout.folder, *checkout.folder.rglob("*")]}
        assert set(owned.values()) == {OTHER_USER}, owned
        assert len(owned) > 7
