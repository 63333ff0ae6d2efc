"""What ends with clinder, and when: the commands that it runs, and the servers that it launches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from clinder.localhub import handover, run_jupyter_server, tether

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 20.0
URL = "http://127.0.0.1:8888/user/book-0123456789ab/"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that a server would have sent to itself."""
    numbers: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: numbers.append(number))
    monkeypatch.setattr("time.sleep", lambda _: None)
    return numbers


def tethered(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", tether.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("command", "status"),
    [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137), (["/no/such/program"], 127)],
    ids=["ends", "fails", "is killed", "is not there"],
)
def test_a_command_ends_with_its_own_status(command: list[str], status: int) -> None:
    with tethered(*command) as process:
        assert process.wait(LIMIT_S) == status
        assert process.stdout is not None
        assert process.stdout.read() == (b"/no/such/program: No such file or directory\n" if status == 127 else b"")


def test_a_command_has_no_input_and_hears_of_broken_pipes() -> None:
    with tethered("sh", "-c", "cat; yes | head -n 1; trap") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"y\n"


def test_a_command_whose_owner_is_gone_is_asked_to_end(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    with tethered(
        "sh", "-c", f"trap 'touch {ended}; exit' TERM; echo begun; while true; do sleep 0.05; done"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(LIMIT_S) == -signal.SIGKILL
    assert ended.exists()


@pytest.fixture
def server(tmp_path: Path) -> Callable[..., bool]:
    """Has a server hear its launcher out, and says whether it is kept."""

    def hear(*actions: Callable[[], None]) -> bool:
        mark, made = tmp_path / "kept", tmp_path / "kept by the launcher"
        theirs, ours = os.pipe()
        handover.hold(URL, ours, made)
        for act in actions:
            act()
        handover.drop(URL)
        run_jupyter_server._follow(theirs, str(mark))
        return mark.exists()

    return hear


def offered(file: Path) -> Callable[[], None]:
    return lambda: handover.offer(URL, file)


def test_a_session_that_was_handed_over_is_kept(server: Callable[..., bool], sent: list[int]) -> None:
    assert server(lambda: handover.hand_over(URL))
    assert sent == []


def test_a_session_that_nobody_took_ends(server: Callable[..., bool], sent: list[int]) -> None:
    assert not server()
    assert sent == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize(
    ("content", "is_kept"),
    [
        ({"session": {"url": URL}}, True),
        ({"session": None, "retired": [{"url": URL}]}, True),
        ({"session": {"url": f"{URL}more/"}}, False),
        ({"session": None}, False),
    ],
    ids=["it is recorded", "it is to be stopped", "another is", "none is"],
)
def test_the_state_file_tells_whether_a_session_is_kept(
    server: Callable[..., bool], sent: list[int], tmp_path: Path, content: object, is_kept: bool
) -> None:
    file = tmp_path / "h\u00e9 \udcff" / "state.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    assert server(offered(file)) is is_kept
    assert bool(sent) is not is_kept


def test_a_state_file_that_cannot_be_read_records_nothing(
    server: Callable[..., bool], sent: list[int], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file in (tmp_path / "missing", tmp_path, pipe):
        assert not server(offered(file)), file


def test_a_server_that_has_ended_by_itself_can_be_handed_over(tmp_path: Path) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    handover.hold(URL, ours, tmp_path / "no such folder" / "kept")
    handover.offer(URL, tmp_path / "state.json")
    handover.hand_over(URL)
    handover.hand_over("http://127.0.0.1:1/user/never-held/")
