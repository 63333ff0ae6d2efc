"""Untrusted repositories name programs in every setting of git; clinder's calls of git run none of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from clinder.config.discovery import discover
from clinder.localhub.cache import Cache
from clinder.localhub.processes import ChildFailedError, Children
from clinder.localhub.repositories import Remote, Repository, UnresolvedError
from clinder.localhub.source import Tree
from clinder.model.errors import UnreachableError, UsageError
from clinder.model.repository import RepositorySpec
from clinder.system.git import GitCall, in_mirror, in_own_checkout, newest_commit, reading, run_git, without_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")

HOST = r"127\.0\.0\.1"
URL = "http://127.0.0.1:9/org/repo.git"
KEYS = (
    "core.alternateRefsCommand",
    "core.askPass",
    "core.editor",
    "core.fsmonitor",
    "core.gitProxy",
    "core.pager",
    "core.sshCommand",
    "credential.helper",
    "diff.external",
    "diff.spy.command",
    "diff.spy.textconv",
    "filter.spy.clean",
    "filter.spy.process",
    "filter.spy.smudge",
    "gpg.program",
    "merge.spy.driver",
    "pager.ls-files",
    "pager.remote",
    "remote.origin.uploadpack",
    f"remote.{URL}.uploadpack",
    "uploadpack.packObjectsHook",
)
HOOKS = (
    "fsmonitor-watchman",
    "post-checkout",
    "post-index-change",
    "post-merge",
    "pre-auto-gc",
    "reference-transaction",
)


@dataclass(frozen=True)
class Spies:
    """Programs that create a file when they run."""

    folder: Path

    @property
    def ran(self) -> set[str]:
        return {path.name for path in (self.folder / "ran").iterdir()}

    def program(self, name: str) -> str:
        name = name.replace("/", "-")
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ntouch {self.folder}/ran/{name}\nexit 1\n")
        path.chmod(0o755)
        return str(path)

    def configure(self, file: Path, *more: str) -> None:
        """Write every key that names a program into a configuration file, and further keys given as `key=value`."""
        settings = [f"{key}={self.program(key)}" for key in KEYS]
        for setting in (*settings, f"core.hooksPath={self.hooks()}", *more):
            key, _, value = setting.partition("=")
            subprocess.run(["git", "config", "--file", str(file), key, value], check=True)

    def hooks(self) -> Path:
        folder = self.folder / "hooks"
        folder.mkdir(exist_ok=True)
        for name in HOOKS:
            shutil.copy2(self.program(name), folder / name)
        return folder


@pytest.fixture
def spies(tmp_path: Path) -> Spies:
    folder = tmp_path / "spies"
    (folder / "ran").mkdir(parents=True)
    return Spies(folder)


def git(folder: Path, *arguments: str) -> str:
    own = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def clone(folder: Path) -> Path:
    """A checkout with a filtered file, and some files that are not committed."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitattributes").write_text("*.txt filter=spy diff=spy merge=spy\n")
    (folder / "a.txt").write_text("a\n")
    (folder / "sub").mkdir()
    (folder / "sub" / ".gitignore").write_text("*.o\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    git(folder, "remote", "add", "origin", "https://github.com/org/name.git")
    (folder / "a.txt").write_text("changed\n")
    (folder / "new.txt").write_text("new\n")
    return folder


# The ways in which a checkout names programs, and the folder in which clinder then runs.


def as_a_clone(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place)
    spies.configure(folder / ".git" / "config", *more)
    return folder


def as_a_bare_subfolder(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place) / "bare"
    for name in ("objects", "refs"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    spies.configure(folder / "config", "core.bare=true", "core.repositoryFormatVersion=0", *more)
    return folder


def as_a_git_file(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place)
    (folder / ".git").rename(folder / "data")
    spies.configure(folder / "data" / "config", *more)
    (folder / ".git").write_text("gitdir: data\n")
    return folder


def as_an_included_file(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place)
    spies.configure(folder / "settings", *more)
    git(folder, "config", "include.path", "../settings")
    return folder


def as_a_worktrees_own(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place)
    git(folder, "config", "extensions.worktreeConfig", "true")
    spies.configure(folder / ".git" / "config.worktree", *more)
    return folder


def as_a_nested_checkout(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place)
    spies.configure(clone(folder / "nested") / ".git" / "config", *more)
    return folder


def as_a_submodule(place: Path, spies: Spies, *more: str) -> Path:
    folder = clone(place)
    git(folder, "submodule", "--quiet", "add", str(clone(place.with_name("other"))), "module")
    spies.configure(folder / ".git" / "modules" / "module" / "config", *more)
    return folder


PLACES = [as_a_clone, as_a_bare_subfolder, as_a_git_file, as_an_included_file, as_a_worktrees_own]
NESTED = [as_a_nested_checkout, as_a_submodule]
Plant = "Callable[..., Path]"


@pytest.mark.parametrize("plant", PLACES)
def test_plain_git_runs_programs_of_the_checkout(plant: Callable[..., Path], tmp_path: Path, spies: Spies) -> None:
    """Plain git reads each of these places, which the other tests rely on."""
    folder = plant(tmp_path / "clone", spies, "url.ssh://git@localhost/.insteadOf=http://127.0.0.1:9/")
    subprocess.run(["git", "ls-remote", URL], cwd=folder, check=False, capture_output=True)
    assert spies.ran & {"core.sshCommand", f"remote.{URL}.uploadpack".replace("/", "-")}


# Querying a remote


REWRITTEN = {
    "ssh": "url.ssh://git@localhost/.insteadOf=http://127.0.0.1:9/",
    "git": "url.git://127.0.0.1:9/.insteadOf=http://127.0.0.1:9/",
    "file": f"remote.{URL}.url=file:///",
    "helper": f"remote.{URL}.vcs=spy",
}


@pytest.mark.parametrize("plant", PLACES)
@pytest.mark.parametrize("rewritten", REWRITTEN.values(), ids=REWRITTEN)
def test_remotes_are_queried_without_the_checkouts_configuration(
    plant: Callable[..., Path], rewritten: str, tmp_path: Path, spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{spies.folder}{os.pathsep}{os.environ['PATH']}")
    spies.program("git-remote-spy")
    monkeypatch.chdir(plant(tmp_path / "clone", spies, rewritten))
    with pytest.raises(UnreachableError, match=HOST):
        newest_commit(RepositorySpec("git", URL, "main"))
    hub = Repository(Remote(URL, URL), Cache(tmp_path / "cache"), Children())
    with pytest.raises(UnresolvedError, match=HOST):
        list(hub.resolve("main"))
    with pytest.raises(ChildFailedError, match=HOST):
        list(hub.fetch("0" * 40))
    assert spies.ran == set()


def test_git_installed_in_a_checkout_ignores_its_configuration(
    tmp_path: Path, spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = as_a_clone(tmp_path / "clone", spies, REWRITTEN["ssh"]) / "bin"
    folder.mkdir()
    (folder / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UnreachableError, match=HOST):
        newest_commit(RepositorySpec("git", URL, "main"))
    assert spies.ran == set()


@contextmanager
def server_that_wants_a_password() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Suppress the log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/x"
        finally:
            server.shutdown()
            thread.join()


def test_no_program_of_the_checkout_gets_a_password_prompt(
    tmp_path: Path, spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(as_a_bare_subfolder(tmp_path / "clone", spies))
    with server_that_wants_a_password() as url, pytest.raises(UnreachableError):
        newest_commit(RepositorySpec("git", url, "main"))
    assert spies.ran == set()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the user, empty."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def test_the_configuration_of_the_user_applies_to_remotes(home: Path, tmp_path: Path, spies: Spies) -> None:
    ssh = spies.program("ssh-of-the-user")
    (home / ".gitconfig").write_text(
        f'[core]\n\tsshCommand = {ssh}\n[url "ssh://git@localhost/"]\n\tinsteadOf = http://127.0.0.1:9/\n'
    )
    with pytest.raises(UnreachableError):
        newest_commit(RepositorySpec("git", URL, "main"))
    assert spies.ran == {"ssh-of-the-user"}


def test_the_credential_helper_of_the_user_is_used(home: Path, spies: Spies) -> None:
    (home / ".gitconfig").write_text(f"[credential]\n\thelper = {spies.program('helper-of-the-user')}\n")
    with server_that_wants_a_password() as url, pytest.raises(UnreachableError):
        newest_commit(RepositorySpec("git", url, "main"))
    assert spies.ran == {"helper-of-the-user"}


# Reading a checkout


def read_everything(folder: Path, cache: Path) -> set[str]:
    """Read a folder as `init`, a launch and a build do; return the names of its files."""
    with suppress(UsageError):
        discover(folder)
    tree = Tree(folder)
    tree.fingerprint(Children(), cache)
    return {path.name for path in tree.files(Children(), cache)}


@pytest.mark.parametrize("plant", [*PLACES, *NESTED])
def test_reading_a_checkout_runs_none_of_its_programs(plant: Callable[..., Path], tmp_path: Path, spies: Spies) -> None:
    folder = plant(tmp_path / "clone", spies)
    names = read_everything(folder, tmp_path / "cache")
    assert spies.ran == set()
    assert names >= ({"HEAD", "config"} if plant is as_a_bare_subfolder else {"a.txt", "new.txt", ".gitignore"})


def test_a_bare_repository_within_a_checkout_is_not_read(tmp_path: Path, spies: Spies) -> None:
    folder = as_a_bare_subfolder(tmp_path / "clone", spies, "remote.origin.url=https://github.com/org/planted.git")
    with pytest.raises(UsageError, match="no repository was found"):
        discover(folder)


SWITCHED_OFF = {
    "core.alternateRefsCommand": "",
    "core.askPass": "",
    "core.editor": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.sshCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "gpg.program": "false",
    "uploadpack.packObjectsHook": "",
}


def test_settings_that_start_programs_are_overridden_for_reading(tmp_path: Path, spies: Spies) -> None:
    folder = as_a_clone(tmp_path / "clone", spies)
    found = {key: run_git(reading(folder, "config", "--get", key), timeout_s=60).printed for key in SWITCHED_OFF}
    assert found == {key: f"{value}\n" for key, value in SWITCHED_OFF.items()}


@pytest.mark.parametrize("url", ["ssh://git@localhost/x", "file:///", "http://127.0.0.1:9/", "ext::true", "none::x"])
def test_reading_a_checkout_has_no_transport(url: str, tmp_path: Path, spies: Spies) -> None:
    folder = as_a_clone(tmp_path / "clone", spies)
    answer = run_git(reading(folder, "ls-remote", "--", url), timeout_s=60)
    assert answer.status in (128, -signal.SIGPIPE)  # git may still write to the helper that does not exist
    assert spies.ran == set()
    assert ("not allowed" in answer.errors) != url.startswith("none")


def in_part(place: Path, spies: Spies, url: str) -> Path:
    """A clone without the contents of its files, whose promisor remote is this URL."""
    whole = clone(place.with_name("whole"))
    git(whole, "config", "uploadpack.allowFilter", "true")
    git(place.parent, "clone", "--quiet", "--no-local", "--filter=blob:none", "--sparse", whole.as_uri(), place.name)
    git(place, "sparse-checkout", "set", "--no-cone", "/*", "!/sub/")
    (place / "sub").mkdir(exist_ok=True)
    (place / "sub" / "new.o").touch()
    spies.configure(place / ".git" / "config", f"remote.origin.url={url}")
    return place


@pytest.mark.parametrize("url", ["ssh://git@localhost/x", "file:///", "git://127.0.0.1:9/x"])
def test_missing_objects_of_a_partial_clone_are_not_fetched(url: str, tmp_path: Path, spies: Spies) -> None:
    folder = in_part(tmp_path / "part", spies, url)
    with pytest.raises(ChildFailedError):
        read_everything(folder, tmp_path / "cache")
    assert spies.ran == set()
    subprocess.run(["git", "ls-files", "--others", "--exclude-standard"], cwd=folder, check=False, capture_output=True)
    assert spies.ran, "plain git would have fetched it"


@pytest.mark.parametrize("name", ["../beside.txt", "../../beside.txt", ".", "a/../../beside.txt"])
def test_a_name_outside_of_the_folder_is_ignored(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = clone(tmp_path / "around" / "clone")
    for outside in (folder.parent, tmp_path):
        (outside / "beside.txt").touch()
    listed = f"{name}\0{tmp_path}/beside.txt\0a.txt\0"
    monkeypatch.setattr("clinder.localhub.source.git_output", lambda *_: listed)
    assert [path.name for path in Tree(folder).files(Children(), tmp_path / "cache")] == ["a.txt"]


# Cloning from a folder


@pytest.mark.parametrize("plant", PLACES)
def test_cloning_from_a_folder_runs_none_of_its_programs(
    plant: Callable[..., Path], tmp_path: Path, spies: Spies
) -> None:
    folder = plant(tmp_path / "clone", spies)
    hub = Repository(Remote(str(folder), ""), Cache(tmp_path / "cache"), Children())
    if plant is as_a_bare_subfolder:
        with pytest.raises(StopIteration):
            next(hub.resolve("main"))  # it answers, but has no commit
    else:
        commit = git(folder, "rev-parse", "main")
        list(hub.fetch(commit))
        assert (hub.checkout(commit) / "a.txt").read_text() == "a\n"
    assert spies.ran == set()


def test_no_hook_runs_in_a_clone(home: Path, tmp_path: Path, spies: Spies) -> None:
    template = tmp_path / "template"
    template.mkdir()
    spies.hooks().rename(template / "hooks")
    settings = f"[init]\n\ttemplateDir = {template}\n[core]\n\thooksPath = {template}/hooks\n"
    folder = clone(tmp_path / "clone")
    (home / ".gitconfig").write_text(settings)
    hub = Repository(Remote(str(folder), ""), Cache(tmp_path / "cache"), Children())
    list(hub.fetch(git(folder, "rev-parse", "main")))
    assert spies.ran == set()


@pytest.mark.parametrize("lazy", ["", "0"])
def test_cloning_from_a_partial_clone_fetches_nothing(
    lazy: str, tmp_path: Path, spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_part(tmp_path / "part", spies, "file:///")
    monkeypatch.setenv("GIT_NO_LAZY_FETCH", lazy)
    hub = Repository(Remote(str(folder), ""), Cache(tmp_path / "cache"), Children())
    with pytest.raises(ChildFailedError):
        list(hub.fetch(git(tmp_path / "whole", "rev-parse", "HEAD")))
    assert spies.ran == set()


# Every call


def calls(folder: Path) -> list[GitCall]:
    return [without_repository("x"), in_mirror(folder, "x"), in_own_checkout(folder, "x"), reading(folder, "x")]


STRANGE = (
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_ICASE_PATHSPECS",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_LAZY_FETCH",
    "GIT_OBJECT_DIRECTORY",
    "GIT_REDIRECT_STDOUT",
    "GIT_TEMPLATE_DIR",
    "GIT_WORK_TREE",
    "SSH_ASKPASS",
    "CLINDER_BUILD_TOKEN",
    "JUPYTER_TOKEN",
)
OWN = ("GIT_CONFIG_GLOBAL", "GIT_EXEC_PATH", "GIT_HTTP_USER_AGENT", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO")


def test_variables_with_secrets_or_redirections_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*STRANGE, *OWN, "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "of-the-caller")
    for call in calls(tmp_path):
        left = {name for name, value in call.env.items() if value == "of-the-caller"}
        assert left == {*OWN, "SSH_AUTH_SOCK"}
        assert call.env["GIT_TERMINAL_PROMPT"] == "0"


def test_git_in_the_current_folder_is_not_used(tmp_path: Path, spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy2(spies.program("git"), tmp_path / "bin" / "git")
    monkeypatch.chdir(tmp_path)
    for path in (f".{os.pathsep}bin", os.pathsep, ""):
        monkeypatch.setenv("PATH", path)
        with pytest.raises(FileNotFoundError, match="git was not found on PATH"):
            without_repository("version")
    monkeypatch.undo()
    assert all(call.command[0] == shutil.which("git") for call in calls(tmp_path))


def test_settings_of_clinder_override_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'safe.bareRepository=all' 'core.fsmonitor=true'")
    for name, value in {"COUNT": "1", "KEY_0": "safe.bareRepository", "VALUE_0": "all"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    for key, value in (("safe.bareRepository", "explicit"), ("core.fsmonitor", "false")):
        assert run_git(reading(tmp_path, "config", "--get", key), timeout_s=60).printed == f"{value}\n"


def test_messages_omit_the_settings_of_clinder(tmp_path: Path) -> None:
    for call in calls(tmp_path):
        assert call.shown[0] == "git"
        assert "-c" not in call.shown
        assert "-c" in call.command
