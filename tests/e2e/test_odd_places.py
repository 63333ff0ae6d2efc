"""Every command in unusual places: a folder with an unprintable name, a path that is too deep, long names, no home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER, LIMIT_S

from clinder.model.errors import CommandNotFoundError
from clinder.run.child import find_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs byte paths and the path limits of Linux")

CONNECTION_REFUSED = ("--hub", "http://127.0.0.1:9", "--retry-attempts", "1")
SESSION = "http://127.0.0.1:9/user/x/?token=t"
COMMANDS: dict[tuple[str, ...], int] = {
    ("init", "--repo", "org/name", "--force"): 0,
    ("plan", "--repo", "org/name"): 0,
    ("up", "--repo", "org/name", *CONNECTION_REFUSED): 8,
    ("status",): 6,
    ("down",): 0,
    ("run", "--repo", "org/name", *CONNECTION_REFUSED, "--", "true"): 8,
    ("env",): 6,
    ("open",): 6,
    ("logs", "9"): 2,
    ("state", "show"): 0,
    ("state", "adopt", SESSION, "--repo", "org/name"): 8,
    ("start", "org/name", *CONNECTION_REFUSED): 8,
    ("stop", SESSION, "--timeouts-stop", "1s"): 8,
    ("hub", "check", "http://127.0.0.1:9"): 8,
}
NEED_NO_FOLDER = ("start", "stop", "hub")
UNUSABLE = {"not UTF-8": b"caf\xe9", "a line break": b"a\n::error::b", "escapes": b"\x1b[31mred\r\x9b0m"}
NAMES = {**UNUSABLE, "signs": b"%s {x} \xe2\x80\xae -q"}


def run(*arguments: str, **variables: str) -> tuple[int, bytes]:
    encoding = {"PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "0"}  # refuses output that is not UTF-8
    done = subprocess.run(
        [CLINDER, *arguments],
        env={**os.environ, **encoding, "CLINDER_TIMEOUTS_CONNECT": "2s", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert b"Traceback" not in printed
    assert b"clinder itself" not in printed
    assert len(printed) < 20_000
    return done.returncode, printed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder that is left at the end, however deep the test has gone."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.chdir(tmp_path)
    for left in tmp_path.glob("d*"):
        shutil.rmtree(left)  # relative, because the full path may be too long


def enter(name: bytes | str) -> None:
    """Create a folder in the current one and enter it; its path may exceed the limit of the system."""
    os.mkdir(name)  # noqa: PTH102  # pathlib takes no bytes
    os.chdir(name)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_command_works_in_a_folder_with_an_unusual_name(folder: Path, name: bytes) -> None:
    enter(name)
    for arguments, expected in COMMANDS.items():
        status, printed = run(*arguments)
        assert status == expected, (arguments, printed)
        assert printed.decode().replace("\n", "").isprintable(), (arguments, printed)
        assert b"\n::" not in printed


@pytest.mark.parametrize("name", UNUSABLE.values(), ids=UNUSABLE)
def test_a_folder_with_an_unprintable_name_is_not_a_repository(folder: Path, name: bytes) -> None:
    enter(name)
    for arguments in (("init", "--hub", "local"), ("plan", "--hub", "local", "--repo", ".")):
        status, printed = run(*arguments)
        assert status == 2
        assert b"expected a folder whose path is UTF-8, without control characters" in printed


def test_every_command_reports_a_folder_that_is_too_deep(folder: Path) -> None:
    for _ in range(25):
        enter("d" * 200)
    for arguments, expected in COMMANDS.items():
        status, printed = run(*arguments)
        assert status == (expected if arguments[0] in NEED_NO_FOLDER else 2), (arguments, printed)
        assert arguments[0] in NEED_NO_FOLDER or b"File name too long" in printed


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 30)], ids=["a long name", "a long path"])
@pytest.mark.parametrize(
    "given",
    [
        ("status", "--config", "{}"),
        ("down", "--config", "{}"),
        ("status", "--state-dir", "{}"),
        ("up", "--state-dir", "{}", "--repo", "org/name", *CONNECTION_REFUSED),
        ("plan", "--hub", "local", "--repo", "./{}"),
        ("init", "--hub", "local", "--repo", "./{}"),
    ],
    ids=lambda given: " ".join(given[:2]),
)
def test_a_name_that_is_too_long_is_reported(folder: Path, given: tuple[str, ...], name: str) -> None:
    status, _ = run(*(argument.format(name) for argument in given))
    assert status == (9 if "--state-dir" in given else 2)


@pytest.mark.parametrize(("variable", "expected"), [("CLINDER_CONFIG", 2), ("CLINDER_STATE_DIR", 9)])
def test_a_variable_that_is_too_long_is_reported(folder: Path, variable: str, expected: int) -> None:
    assert run("status", **{variable: "x" * 5000})[0] == expected


@pytest.mark.parametrize("command", ["x" * 300, "./" + "x" * 300, "/".join(["x" * 200] * 30)])
def test_a_command_with_a_name_that_is_too_long_is_not_found(command: str) -> None:
    with pytest.raises(CommandNotFoundError) as caught:
        find_command(command)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("home", ["", "relative", "/nowhere/at/all", "x" * 5000], ids=lambda home: home[:10])
def test_an_invalid_home_is_not_needed(folder: Path, home: str) -> None:
    for arguments, expected in COMMANDS.items():
        assert run(*arguments, HOME=home)[0] == expected, arguments


@pytest.mark.parametrize("home", ["", "relative", "x" * 5000], ids=lambda home: home[:10])
def test_no_cache_folder_is_created_without_a_home(folder: Path, home: str) -> None:
    launch = ("up", "--repo", ".", "--hub", "local", "--retry-attempts", "1")
    status, printed = run(*launch, HOME=home, XDG_CACHE_HOME="")
    assert status == 8
    assert b"cannot keep anything in" in printed
    assert [path.name for path in folder.iterdir()] == [".clinder"]
