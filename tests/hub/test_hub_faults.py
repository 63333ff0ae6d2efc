"""Every failure of a launch, with the installed command: exit status, message, time, and sessions left on the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pace import assert_took_under

from clinder.state import StateFolder
from hub.servers import (
    KEEPALIVE,
    LIMIT_S,
    Connection,
    Handler,
    Piece,
    Request,
    event,
    in_turn,
    play,
    refused_url,
    stream,
)

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.state import State
    from hub.cluster import Cluster

WAITING = event("waiting", "Waiting for build to start...\n")
LOG = event("building", "Step 1/40\n")
BUILT = event("built", "Found built image, launching...\n", imageName="r/x:1")
LAUNCHING = event("launching", "Launching server...\n")
START_S = 5.0
"""The allowed time of a command in addition to its waits: its start, on a busy machine."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended, with its duration."""

    status: int
    stdout: str
    stderr: str
    took_s: float

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found


Up = Callable[..., Ended]


@pytest.fixture
def up(cluster: Cluster, tmp_path: Path) -> Up:
    """Run `clinder up` against the cluster, with one attempt and short timeouts unless the test sets others."""
    settings = {"retry-attempts": "1", "retry-backoff": "10ms", "timeouts-stop": "1s", "timeouts-connect": "2s"}

    def run(**options: str) -> Ended:
        given = {**settings, "hub": cluster.url, "repo": "org/name", "ref": "main"}
        given |= {name.replace("_", "-"): value for name, value in options.items()}
        arguments = [f"--{name}={value}" for name, value in given.items()]
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "clinder", "up", "--json", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(timeout=LIMIT_S)
        assert "Traceback" not in err
        return Ended(process.returncode, out, err, time.monotonic() - began)

    return run


def state(folder: Path) -> State:
    return StateFolder(folder / ".clinder").read()


def launched(cluster: Cluster, *before: Piece, then: Piece) -> Handler:
    """A launch that the hub completes even if its stream is cut."""

    def launch(_connection: Connection) -> None:
        cluster.add()

    return stream(*before, BUILT, launch, LAUNCHING, then)


def builds(cluster: Cluster) -> int:
    return len(cluster.asked("/build/"))


# A cut stream


@pytest.mark.parametrize("end", ["reset", KEEPALIVE], ids=["cut", "ended"])
def test_a_stream_cut_while_building_is_requested_again_without_a_second_launch(
    cluster: Cluster, up: Up, tmp_path: Path, end: Piece
) -> None:
    cluster.build = in_turn(stream(WAITING, LOG, 0.1, end), cluster._launch)
    done = up(retry_attempts="2")
    assert done.status == 0
    assert "retrying on" in done.stderr
    assert "may be left" not in done.stderr
    assert cluster.running == {done.document["url"]}
    assert builds(cluster) == 2
    assert_took_under(done.took_s, START_S)


def test_a_cut_while_building_leaves_no_session(cluster: Cluster, up: Up, tmp_path: Path) -> None:
    cluster.build = stream(WAITING, LOG, 0.1, "reset")
    done = up()
    assert done.status == 8
    assert f"{cluster.url} cannot be reached: Connection reset by peer" in done.stderr
    assert cluster.running == set()
    assert state(tmp_path).pending is None
    assert_took_under(done.took_s, START_S)


@pytest.mark.parametrize(("end", "status"), [("reset", 8), (KEEPALIVE, 5)], ids=["cut", "ended"])
def test_a_cut_while_launching_reports_and_records_a_possible_orphan(
    cluster: Cluster, up: Up, tmp_path: Path, end: Piece, status: int
) -> None:
    cluster.build = launched(cluster, then=end)
    done = up(retry_attempts="2")
    assert done.status == status
    assert len(cluster.running) == 2
    assert f"warning: A session may be left on {cluster.url}." in done.stderr, "after the first"
    assert f"2 sessions may be left on {cluster.url}." in done.document["error"]["hint"]
    assert state(tmp_path).pending is not None
    assert_took_under(done.took_s, START_S)


def test_a_retry_after_a_cut_while_launching_reports_the_earlier_session(
    cluster: Cluster, up: Up, tmp_path: Path
) -> None:
    cluster.build = in_turn(launched(cluster, then="reset"), cluster._launch)
    done = up(retry_attempts="2")
    assert done.status == 0
    assert len(cluster.running) == 2
    assert done.stderr.count("A session may be left on") == 1
    (log,) = (tmp_path / ".clinder" / "logs").glob("*.log")
    assert "A session may be left on" in log.read_text()


# No result


def test_a_stream_that_ends_without_a_result_fails_the_launch(cluster: Cluster, up: Up) -> None:
    cluster.build = stream(WAITING, LOG)
    done = up()
    assert done.status == 5
    assert f"{cluster.url} ended the stream before the session was ready" in done.stderr
    assert cluster.running == set()
    assert_took_under(done.took_s, START_S)


@pytest.mark.parametrize("is_built", [False, True], ids=["building", "launching"])
def test_a_silent_stream_ends_with_7_at_timeouts_silence(cluster: Cluster, up: Up, is_built: bool) -> None:
    cluster.build = launched(cluster, then="hold") if is_built else stream(WAITING, "hold")
    done = up(timeouts_silence="1s")
    assert done.status == 7
    doing = "launching" if is_built else "building"
    assert f"sent nothing in time while {doing}: timeouts.silence = 1s (--timeouts-silence)" in done.stderr
    assert ("A session may be left" in done.stderr) == is_built
    assert len(cluster.running) == is_built
    assert done.took_s > 1
    assert_took_under(done.took_s, 1 + START_S)


@pytest.mark.parametrize("is_built", [False, True], ids=["building", "launching"])
def test_endless_keepalives_end_with_7(cluster: Cluster, up: Up, is_built: bool) -> None:
    beats: list[Piece] = [KEEPALIVE, 0.05] * 200

    def alive(request: Request, connection: Connection) -> None:
        if is_built:
            cluster.add()
        play(connection, WAITING, *([BUILT, LAUNCHING] if is_built else []), *beats)

    cluster.build = alive
    done = up(timeouts_build="1s", timeouts_launch="1s", timeouts_silence="1s")
    assert done.status == 7
    key = "launch" if is_built else "build"
    assert f"timeouts.{key} = 1s" in done.stderr
    assert len(cluster.running) == is_built
    assert done.took_s > 1
    assert_took_under(done.took_s, 1 + START_S)


def test_endless_messages_end_with_7_in_time(cluster: Cluster, up: Up) -> None:
    def chat(_request: Request, connection: Connection) -> None:
        connection.head(200)
        line = LOG * 500
        while True:
            connection.send(line)

    cluster.build = chat
    done = up(timeouts_build="1s")
    assert done.status == 7
    assert "is not done in time while building: timeouts.build = 1s" in done.stderr
    assert cluster.running == set()
    assert done.took_s > 1
    assert_took_under(done.took_s, 2 + START_S)


# Not an event stream


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _request, connection: connection.html(200), "not with an event stream"),
        (lambda _request, connection: connection.send(os.urandom(4096).replace(b"\n", b"")), "cannot be reached"),
        (stream(WAITING, bytes(range(1, 256)) * 9 + b"\n\n", "hold"), "sent nothing"),
        (stream(WAITING, b"data: \xff\xfe{{{\n\n", "hold"), "sent an event that cannot be read"),
        (stream(WAITING, b'data: "a text"\n\n', "hold"), "sent an event that cannot be read"),
    ],
    ids=["HTML", "noise", "noise in the stream", "not JSON", "not an object"],
)
def test_an_answer_without_an_event_stream_is_a_bug_in_the_hub(
    cluster: Cluster, up: Up, answer: Handler, words: str
) -> None:
    cluster.build = answer
    done = up(timeouts_silence="1s")
    assert done.status in (7, 8)
    assert words in done.stderr
    assert cluster.running == set()
    assert_took_under(done.took_s, 1 + START_S)


def pour(head: bytes, piece: bytes, count: int, sent: list[int]) -> Handler:
    def handle(_request: Request, connection: Connection) -> None:
        connection.head(200)
        connection.send(head)
        for _ in range(count):
            connection.send(piece)
            sent.append(len(piece))
        connection.send(b'"}\n\n')

    return handle


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b'data: {"phase": "building", "message": "', b"x" * 65536),
        (b"data: ", b"x\ndata: " * 8192),
        (b"", b"x" * 65536),
        (b":", b"x" * 65536),
    ],
    ids=["event of 50 MB", "event of many lines", "line that never ends", "comment that never ends"],
)
def test_a_huge_answer_is_abandoned_after_one_mebibyte(cluster: Cluster, up: Up, head: bytes, piece: bytes) -> None:
    sent: list[int] = []
    cluster.build = pour(head, piece, 50 * 1024 * 1024 // len(piece), sent)
    done = up()
    assert done.status == 8
    assert "larger than 1048576 bytes" in done.stderr
    assert cluster.running == set()
    assert sum(sent) < 20 * 1024 * 1024, "the stream was not abandoned"
    assert_took_under(done.took_s, START_S)


# A result


def test_a_repeated_failure_on_an_open_stream_ends_the_launch_at_once(cluster: Cluster, up: Up) -> None:
    failed = event("failed", "no such package: nump\n")
    cluster.build = stream(WAITING, event("failed"), 0.05, failed, failed, KEEPALIVE, "hold")
    done = up(retry_attempts="3")
    assert done.status == 5
    assert f"the build on {cluster.url} failed: no such package: nump" in done.stderr
    assert builds(cluster) == 1
    assert cluster.running == set()
    assert_took_under(done.took_s, START_S)


URLS: list[object] = [
    None,
    "",
    5,
    ["http://127.0.0.1/"],
    "/user/x/",
    "user/x/",
    "//127.0.0.1/user/x/",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "ws://127.0.0.1/",
    "http:///x",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1/\nX-Header: x",
    "http://127.0.0.1/\r\n::error::x",
    "http://me:pw@127.0.0.1/",
]
TOKENS: list[object] = [None, "", 5, {"a": 1}, "a\nb", "a b", "a\x00b", "é"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", None),
        ("url", "/user/x/"),
        ("url", "javascript:alert(1)"),
        ("url", "http://127.0.0.1/\r\n::error::x"),
        ("token", None),
        ("token", "a\nb"),
    ],
    ids=repr,
)
def test_ready_with_an_invalid_url_or_token_fails_and_reports_the_orphan(
    cluster: Cluster, up: Up, tmp_path: Path, field: str, value: object
) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        made = cluster.add()
        play(
            connection, BUILT, LAUNCHING, event("ready", "up\n", **{"url": made.url, "token": made.token, field: value})
        )

    cluster.build = handle
    done = up(retry_attempts="3")
    assert done.status == 5
    assert "the hub reported ready, but its session cannot be used: its" in done.stderr.replace("it has no", "its")
    assert f"A session may be left on {cluster.url}." in done.stderr
    assert len(cluster.running) == 1
    assert builds(cluster) == 1
    assert state(tmp_path).session is None
    assert state(tmp_path).pending is not None
    assert_took_under(done.took_s, START_S)


@pytest.mark.parametrize(("field", "values"), [("url", URLS), ("token", TOKENS)])
def test_invalid_urls_and_tokens_are_refused(field: str, values: list[object]) -> None:
    """Checks all values without running a command for each."""
    from clinder.model.session import check_token, check_url

    for value in values:
        with pytest.raises(ValueError, match=r"it has no|its (URL|token)|[Pp]ort"):
            (check_url if field == "url" else check_token)(value)


@pytest.mark.parametrize("mode", ["503", "silence", "cut", "500"])
def test_a_ready_session_that_never_answers_fails_in_time_and_stays_recorded(
    cluster: Cluster, up: Up, tmp_path: Path, mode: str
) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        made = cluster.add()
        made.mode = mode
        play(connection, BUILT, event("ready", "up\n", url=made.url, token=made.token))

    cluster.build = handle
    done = up(timeouts_launch="1s", timeouts_connect="500ms")
    assert done.status == 5
    assert "the hub said ready, but the session cannot be used" in done.stderr
    (url,) = cluster.running
    assert f"The session {url} may still run" in done.stderr
    assert "`clinder down` tries again" in done.stderr
    assert [retired.url for retired in state(tmp_path).retired] == [url]
    assert done.took_s > 1
    assert_took_under(done.took_s, 2.5 + START_S)


def test_a_ready_session_that_refuses_connections_fails_the_launch(cluster: Cluster, up: Up, tmp_path: Path) -> None:
    with refused_url() as nowhere:
        cluster.build = stream(BUILT, event("ready", "up\n", url=f"{nowhere}/user/x/", token="t"))
        done = up(timeouts_launch="1s")
    assert done.status == 5
    assert "Connection refused" in done.stderr
    assert len(state(tmp_path).retired) == 1
    assert done.took_s > 1
    assert_took_under(done.took_s, 2 + START_S)


def test_a_server_that_only_answers_its_shutdown_is_shut_down(cluster: Cluster, up: Up, tmp_path: Path) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        made = cluster.add()
        made.is_sick = True
        play(connection, BUILT, event("ready", "up\n", url=made.url, token=made.token))

    cluster.build = handle
    done = up(timeouts_launch="1s", timeouts_stop="5s")
    assert done.status == 5
    assert "The session was stopped" in done.stderr
    assert cluster.running == set()
    assert state(tmp_path).retired == ()
    assert_took_under(done.took_s, 3 + START_S)
