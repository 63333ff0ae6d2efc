"""The limits of a `clinder.toml` in an untrusted checkout: it can only name a hub, a repository and safe settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clinder.config.loading import Config, Value, load_config
from clinder.config.scaffold import write_config
from clinder.model.errors import ConfigError, UsageError
from clinder.model.session import Session
from clinder.run.browser import session_link


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that contains a folder, with another folder next to it."""
    for folder in ("checkout/inside", "checkout-2", "outside"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "checkout" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "checkout"


def load(checkout: Path, text: str, **environment: str) -> Config:
    file = checkout / "clinder.toml"
    file.write_text(f'hub = "local"\n{text}\n')
    return load_config(file=file, environment=environment)


def problem(checkout: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(checkout, text)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize("repo", [".", "./inside", "./inside/..", "./inside/../inside"])
def test_a_folder_within_the_checkout_is_accepted(checkout: Path, repo: str) -> None:
    assert Path(load(checkout, f'repo = "{repo}"').spec().repo).is_relative_to(checkout)


@pytest.mark.parametrize(
    "repo",
    [
        "..",
        "../outside",
        "../checkout-2",
        "./inside/../../outside",
        "./link",
        "/",
        "/etc",
        "~",
        "~/x",
        "~root",
        "file:///etc",
    ],
)
def test_a_folder_outside_of_the_checkout_is_refused(
    checkout: Path, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkout / "inside"))  # a home folder within the checkout is refused as well
    message = problem(checkout, f'repo = "{repo}"')
    assert "is outside of the folder of clinder.toml" in message
    assert "--repo" in message


@pytest.mark.parametrize("form", ["{}", "git:{}"])
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("", None),
        ("/%2e%2e/%2e%2e/outside", "is outside"),
        ("/%2e%2e/link", "is outside"),
        ("/../../outside", "without . or .."),
        ("/../link", "without . or .."),
    ],
)
def test_a_file_url_is_checked_like_a_path(checkout: Path, form: str, end: str, reason: str | None) -> None:
    text = f'repo = "{form.format((checkout / "inside").as_uri())}{end}"'
    if reason:
        assert reason in problem(checkout, text)
    else:
        assert load(checkout, text).link


def test_a_file_url_of_another_host_is_refused(checkout: Path) -> None:
    assert "is outside" in problem(checkout, f'repo = "file://server{checkout}"')


def test_an_absolute_path_within_the_checkout_is_accepted(checkout: Path) -> None:
    assert load(checkout, f'repo = "{checkout}/inside"').spec().repo == str(checkout / "inside")


def test_options_and_variables_may_name_any_folder(checkout: Path) -> None:
    outside = str(checkout.parent / "outside")
    file = checkout / "clinder.toml"
    file.write_text('hub = "local"\nrepo = "org/name"\n')
    assert load_config(options={"repo": outside}, file=file, environment={}).spec().repo == outside
    assert load_config(file=file, environment={"CLINDER_REPO": outside}).spec().repo == outside


def test_init_writes_no_file_that_would_be_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    with pytest.raises(UsageError, match="can only name folders in its own"):
        write_config(checkout, {"hub": Value("local", "--hub"), "repo": Value("../outside", "--repo")}, force=False)
    assert not (checkout / "clinder.toml").exists()


@pytest.mark.parametrize("text", ["$HOME", "${HOME}", "%HOME%", "$(id)", "`id`", "{HOME}", "!id"])
@pytest.mark.parametrize("key", ["ref", "session.path", "session.warm"])
def test_values_are_not_expanded_or_run(checkout: Path, key: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "expanded")
    config = load(checkout, f"repo = '.'\n{key} = '{text}'")
    value = {"ref": config.settings.ref, "session.path": config.settings.session.path}
    assert value.get(key, config.settings.session.warm) == text


@pytest.mark.parametrize("key", ["command", "state_dir", "build_token", "env", "include", "hooks", "timeouts.command"])
def test_there_are_no_keys_for_secrets_or_commands(checkout: Path, key: str) -> None:
    assert "is not a known key" in problem(checkout, f'repo = "."\n{key} = "x"')


@pytest.mark.parametrize(
    "hub", ["https://user@hub.org", "https://user:pw@hub.org", "ftp://hub.org", "file:///x", "javascript:x", "ssh://h"]
)
def test_a_hub_is_an_http_url_without_a_user_name(checkout: Path, hub: str) -> None:
    file = checkout / "clinder.toml"
    file.write_text(f'hub = "{hub}"\nrepo = "org/name"\n')
    with pytest.raises(ConfigError):
        load_config(file=file, environment={})


# The path for `clinder open`


@pytest.mark.parametrize(
    "path",
    [
        "../attacker/collect",
        "lab/../../attacker/",
        "lab/%2e%2e/%2E%2e/attacker",
        "lab/..%2f..%2fattacker",
        "%252e%252e/attacker",
        "./../x",
        "..",
        "//evil.org/x",
        "https://evil.org/",
        "javascript:alert(1)",
        "lab\\..\\..\\x",
        "lab\nx",
        "lab?token=other",
        "lab?a=b&token=",
    ],
)
def test_a_path_that_would_leak_the_token_is_refused(checkout: Path, path: str) -> None:
    file = checkout / "clinder.toml"
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n")
    file.write_text(f'repo = "org/name"\n[session]\npath = "{escaped}"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file=file, environment={})
    assert caught.value.problems[0].startswith("session.path: ")


def test_such_a_path_in_a_binder_link_is_refused(checkout: Path) -> None:
    link = "https://mybinder.org/v2/gh/org/name/main?urlpath=..%2Fattacker%2F"
    with pytest.raises(ConfigError, match="leads out of the session"):
        load_config(options={"repo": link}, environment={})


@pytest.mark.parametrize(
    "path",
    [
        "lab",
        "/voila/render/a b.ipynb",
        "lab/tree/notebooks?reset",
        "a..b/c...d",
        "lab/tree/x#y",
        "files/.hidden",
        "rstudio/",
    ],
)
def test_ordinary_paths_are_accepted(checkout: Path, path: str) -> None:
    file = checkout / "clinder.toml"
    file.write_text(f'repo = "org/name"\n[session]\npath = "{path}"\n')
    config = load_config(file=file, environment={})
    session = Session(url="https://hub.org/user/x/", token="t")
    assert session_link(session, config.settings.session.path).startswith("https://hub.org/user/x/")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_linked_file_belongs_to_the_folder_of_the_link(checkout: Path) -> None:
    (checkout / "clinder.toml").write_text('hub = "local"\nrepo = "."\n')
    linked = checkout.parent / "linked"
    linked.symlink_to(checkout)
    assert load_config(file=linked / "clinder.toml", environment={}).spec().repo == str(checkout.resolve())
