"""The clone URLs of the embedded hub, its cache folder, and the environment of the processes that it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clinder.localhub.cache import Cache, default_cache_dir, digest, slug
from clinder.localhub.environment_variables import for_builds, for_server
from clinder.localhub.hub import Resolved
from clinder.localhub.processes import ProcessId, identify, is_running
from clinder.localhub.repositories import Remote
from clinder.model.errors import HubError
from clinder.model.repository import RepositorySpec


@pytest.mark.parametrize(
    ("spec", "url", "page"),
    [
        (
            RepositorySpec("gh", "org/name"),
            "https://github.com/org/name.git",
            "https://github.com/org/name/tree/c0ffee",
        ),
        (RepositorySpec("gl", "a/b/c"), "https://gitlab.com/a/b/c.git", "https://gitlab.com/a/b/c/tree/c0ffee"),
        (
            RepositorySpec("gist", "user/ab12"),
            "https://gist.github.com/ab12.git",
            "https://gist.github.com/user/ab12/c0ffee",
        ),
        (RepositorySpec("git", "git@host:a/b"), "git@host:a/b", "git@host:a/b"),
        (RepositorySpec("local", "/srv/repository", "main"), "/srv/repository", "/srv/repository"),
    ],
)
def test_each_provider_is_cloned_from_its_site(spec: RepositorySpec, url: str, page: str) -> None:
    remote = Remote.of(spec)
    assert remote.url == url
    assert Resolved(spec, "c0ffee", remote, "image").ref_url == page


def test_the_variable_sets_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLINDER_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/clinder"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/clinder"),
        ("linux", {}, "/home/ada/.cache/clinder"),
        ("darwin", {"XDG_CACHE_HOME": "/caches"}, "/home/ada/Library/Caches/clinder"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/clinder/Cache"),
        ("win32", {}, "/home/ada/AppData/Local/clinder/Cache"),
    ],
)
def test_the_default_cache_is_in_the_usual_place_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "CLINDER_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr("sys.platform", platform)
    assert default_cache_dir() == Path(expected)


@pytest.mark.parametrize("given", ["", "~/clinder", "~there-is-no-such-user/clinder"])
def test_without_a_home_the_cache_folder_must_be_set(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    def nobody(_number: int) -> None:
        raise KeyError

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLINDER_CACHE_DIR", given)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(HubError) as caught:
        default_cache_dir()
    assert given in caught.value.message
    assert "CLINDER_CACHE_DIR" in caught.value.hint


def test_a_read_only_cache_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Root can write everywhere.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(HubError, match=f"cannot keep anything in {tmp_path}: Permission denied"):
        Cache(tmp_path).check()


def test_a_slug_is_valid_in_urls_and_folder_names() -> None:
    assert slug("ProjectPythia/Radar_Cookbook.git") == "projectpythia-radar-cookbook-git"
    assert slug("\u65e5\u672c") == "repository"
    assert len(slug("a" * 500)) == 40


def test_a_digest_depends_on_the_boundaries_of_its_parts() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_secrets_reach_neither_builds_nor_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = {"HOME": "/home/ada", "LC_ALL": "C.UTF-8", "https_proxy": "http://proxy:3128"}
    names = ("GITHUB_TOKEN", "CLINDER_BUILD_TOKEN", "JUPYTER_TOKEN", "HF_TOKEN", "PYTHONSTARTUP")
    lost = dict.fromkeys(names, "secret")
    for name, value in (kept | lost | {"PIP_CERT": "/certificates", "VIRTUAL_ENV": "/other"}).items():
        monkeypatch.setenv(name, value)
    builds, server = for_builds(tmp_path), for_server(tmp_path, tmp_path / "session")
    for variables in (builds, server):
        assert kept.items() <= variables.items()
        assert not set(lost) & set(variables)
    assert builds["PIP_CERT"] == "/certificates"
    assert "PIP_CERT" not in server
    assert server["VIRTUAL_ENV"] == str(tmp_path)
    assert server["PATH"].split(os.pathsep)[0] == str(tmp_path / "bin")


def test_a_process_is_identified_by_more_than_its_pid() -> None:
    this = identify(os.getpid())
    assert this is not None
    assert is_running(this)
    assert not is_running(ProcessId(this.pid, "another start"))
    assert identify(2**22 + 1) is None
