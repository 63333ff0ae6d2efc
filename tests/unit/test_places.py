"""The locations of clinder.toml and the state folder, also with hostile files in the way."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clinder.cli import invoke
from clinder.config.loading import load_config, load_config_despite_file
from clinder.model.errors import ConfigError, ConfigFileError, UsageError
from clinder.model.paths import absolute, current_folder
from clinder.state import State, StateFolder
from clinder.system.places import find_file, find_state_dir, find_state_dir_despite_file, named_file
from unit.owners import NAME, Owners, owners

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["owners"]

posix = pytest.mark.skipif(os.name == "nt", reason="deleting a folder in use and creating links need POSIX")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, two levels below a folder that everyone can write to."""
    made = tmp_path / "project" / "sub"
    made.mkdir(parents=True)
    monkeypatch.chdir(made)
    monkeypatch.delenv("CLINDER_STATE_DIR", raising=False)
    return made


@pytest.fixture
def planted(folder: Path, owners: Owners) -> Path:
    """A clinder.toml of another user in a parent of the current folder."""
    file = folder.parents[1] / "clinder.toml"
    file.write_text('hub = "https://evil.example.org"\nrepo = "evil/name"\n')
    owners.give(file)
    return file


def make(file: Path) -> Path:
    file.write_text("")
    return file


# The file


def test_the_nearest_file_is_found(folder: Path) -> None:
    upper = make(folder.parents[1] / "clinder.toml")
    assert find_file() == upper
    assert find_file(folder.parents[1]) == upper
    lower = make(folder.parent / "clinder.toml")
    assert find_file() == lower


def test_a_file_of_another_user_is_refused_not_skipped(planted: Path) -> None:
    make(planted.parents[1] / "clinder.toml")
    with pytest.raises(ConfigFileError, match=f"belongs to another user, {NAME}") as caught:
        find_file()
    assert caught.value.file == planted
    assert caught.value.hint.endswith("name it with --config or CLINDER_CONFIG; or take ownership of it with chown.")


def test_a_nearer_own_file_is_used(planted: Path, folder: Path) -> None:
    own = make(folder / "clinder.toml")
    assert find_file() == own


def test_a_named_file_of_another_user_is_read(planted: Path) -> None:
    assert load_config(file=named_file(planted), environment={}).hubs == ("https://evil.example.org",)


@posix
@pytest.mark.parametrize("target", ["nowhere", "clinder.toml"])
def test_a_broken_link_is_refused(folder: Path, target: str) -> None:
    (folder / "clinder.toml").symlink_to(target)
    make(folder.parent / "clinder.toml")
    with pytest.raises(ConfigFileError, match="cannot be used"):
        find_file()


@posix
def test_a_file_that_is_not_regular_is_refused_at_once(folder: Path) -> None:
    for put in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        file = folder / "clinder.toml"
        put(file)
        with pytest.raises(ConfigFileError, match=r"cannot be read: it is (a folder|not a regular file)"):
            load_config(file=find_file(), environment={})
        file.rmdir() if file.is_dir() else file.unlink()


def test_an_inaccessible_folder_is_skipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, folder.parent / "clinder.toml", errno.EACCES)
    upper = make(folder.parents[1] / "clinder.toml")
    assert find_file() == upper


def test_a_path_that_is_too_long_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, folder / "clinder.toml", errno.ENAMETOOLONG)
    with pytest.raises(ConfigFileError, match="cannot be accessed: File name too long"):
        find_file()


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Path, number: int) -> None:
    def look(path: Path) -> os.stat_result:
        if path == refused:
            raise OSError(number, os.strerror(number))
        return path.stat(follow_symlinks=False)

    monkeypatch.setattr(Path, "lstat", look)


@pytest.mark.parametrize("name", ["missing", "x" * 300, "/".join(["x" * 200] * 30), "a\0b", "a\ud800", "a\nb\x1b[31m"])
def test_an_invalid_file_name_is_reported_on_one_short_line(folder: Path, name: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        named_file(Path(name))
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    assert caught.value.exit_status == 2


# The state


def record(folder: Path) -> Path:
    StateFolder(folder).write(State())
    return folder


def test_the_state_is_found_despite_an_unusable_file(planted: Path, folder: Path) -> None:
    beside = record(planted.parent / ".clinder")
    assert find_state_dir_despite_file(find_file) == beside
    own = record(folder / ".clinder")
    assert find_state_dir_despite_file(find_file) == own
    assert find_state_dir_despite_file(find_file, Path("given")) == folder / "given"


def test_the_state_of_another_user_is_not_used(planted: Path, owners: Owners) -> None:
    owners.give(record(planted.parent / ".clinder"))
    with pytest.raises(ConfigFileError, match="is not used: it belongs"):
        find_state_dir_despite_file(find_file)


def test_a_named_file_only_uses_the_state_next_to_it(folder: Path) -> None:
    record(folder / ".clinder")
    missing = folder.parent / "clinder.toml"
    with pytest.raises(ConfigFileError, match="does not exist"):
        find_state_dir_despite_file(lambda: named_file(missing))
    beside = record(folder.parent / ".clinder")
    assert find_state_dir_despite_file(lambda: named_file(missing)) == beside


def test_an_unusable_file_is_ignored_with_a_warning(planted: Path, folder: Path) -> None:
    record(folder / ".clinder")
    config = load_config_despite_file(find_file)
    assert config.file is None
    assert config.state_dir == folder / ".clinder"
    assert "belongs to another user" in config.warnings[0]
    with pytest.raises(ConfigError, match="--timeouts-stop"):
        load_config_despite_file(find_file, options={"timeouts.stop": "soon"})


COMMANDS_OF_THE_FILE = (["plan"], ["status"], ["up"], ["run", "true"], ["env"], ["open"], ["hub", "check"])
COMMANDS_OF_THE_STATE = (["down"], ["state", "show"], ["logs"], ["state", "forget", "--yes"])


@pytest.mark.parametrize("arguments", COMMANDS_OF_THE_FILE, ids=" ".join)
def test_no_command_uses_a_file_of_another_user(
    planted: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 2
    assert f"{planted} is not used: it belongs to another user, {NAME}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", COMMANDS_OF_THE_STATE, ids=" ".join)
def test_commands_that_only_need_the_state_ignore_such_a_file(
    planted: Path, folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    record(folder / ".clinder")
    assert invoke(arguments) == (2 if arguments == ["logs"] else 0)
    printed = capsys.readouterr().err
    assert "there is no log" in printed if arguments == ["logs"] else "clinder:" not in printed


def test_init_does_not_write_a_file_that_would_be_refused(
    folder: Path, owners: Owners, capsys: pytest.CaptureFixture[str]
) -> None:
    owners.give(folder)
    assert invoke(["init", "--repo", "org/name"]) == 2
    assert "would not be used: the folder belongs to another user" in capsys.readouterr().err
    assert not (folder / "clinder.toml").exists()


def test_init_ignores_files_of_another_user(folder: Path, owners: Owners, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("myst.yml", "_config.yml"):
        (folder / name).write_text("project: {binder: evil/name}\nrepository: {url: https://github.com/evil/name}\n")
        owners.give(folder / name)
    assert invoke(["init", "--repo", "org/name"]) == 0
    printed = capsys.readouterr().err
    assert f"{folder / 'myst.yml'} is not used: it belongs to another user" in printed
    assert "evil" not in printed


# The current folder


@pytest.fixture
def deleted(folder: Path) -> Path:
    """The current folder, which has been deleted."""
    if os.name == "nt":
        pytest.skip("a folder in use cannot be deleted")
    folder.rmdir()
    return folder


def test_a_deleted_folder_is_reported_when_it_is_needed(deleted: Path) -> None:
    asking: list[Callable[[], object]] = [
        current_folder,
        find_file,
        lambda: absolute(Path("x")),
        lambda: find_state_dir(None),
    ]
    for ask in asking:
        with pytest.raises(UsageError, match="the current folder cannot be used: it was deleted"):
            ask()


def test_absolute_paths_do_not_need_the_current_folder(deleted: Path, tmp_path: Path) -> None:
    assert absolute(tmp_path) == tmp_path
    assert find_state_dir(None, tmp_path) == tmp_path
    assert load_config(file=make(tmp_path / "clinder.toml"), environment={}).state_dir == tmp_path / ".clinder"
    config = load_config(environment={})
    with pytest.raises(UsageError, match="it was deleted"):
        config.state_dir  # noqa: B018


ALL = (
    *COMMANDS_OF_THE_FILE,
    *COMMANDS_OF_THE_STATE,
    ["init"],
    ["state", "adopt", "http://127.0.0.1:9/user/x/?token=t"],
    ["up", "--repo", ".", "--hub", "local"],
    ["status", "--config", "clinder.toml"],
    ["down", "--state-dir", "state"],
)


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_every_command_reports_a_deleted_folder(
    deleted: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 2
    assert "clinder: the current folder cannot be used: it was deleted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["start", "org/name", "--hub", "http://127.0.0.1:9", "--retry-attempts", "1"], 8),
        (["stop", "http://127.0.0.1:9/user/x/?token=t", "--timeouts-stop", "1s"], 8),
        (["hub", "check", "http://127.0.0.1:9"], 8),
        (["env", "--unset"], 0),
    ],
    ids=str,
)
def test_commands_without_files_work_in_a_deleted_folder(deleted: Path, arguments: list[str], status: int) -> None:
    assert invoke(arguments) == status


def test_a_recorded_session_is_found_from_a_deleted_folder(
    deleted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_dir = str(record(tmp_path / "state"))
    assert invoke(["down", "--state-dir", state_dir]) == 0
    assert invoke(["state", "show", "--json", "--state-dir", state_dir]) == 0
    assert json.loads(capsys.readouterr().out)["session"] is None
