"""Remotes that accept connections and never answer: launches end with the reason, and others report that they wait."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from embedded import cache, checkout, eventually, failure, processes_of
from git_server import git_server
from hub_process import serving

from clinder.localhub.http.workers import Worker
from clinder.localhub.processes import Children, ChildTimeoutError, Limits
from clinder.model.events import Event, Phase
from clinder.model.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clinder.localhub.hub import Steps

__all__ = ["cache"]

MORE_THAN_THREADS = 40
SOON_S = 5.0


@pytest.fixture
def silent_remote() -> Iterator[str]:
    """A server that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MORE_THAN_THREADS) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_ref_that_cannot_be_listed_fails_with_the_reason(
    silent_remote: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clinder.localhub.repositories._ASKING", Limits(total_s=0.5))
    event = failure(RepositorySpec("git", f"{silent_remote}/x", "main"))
    assert event.message == (f"Error resolving ref for git:{silent_remote}/x/main: git did not finish within 0.5 s\n")
    assert not processes_of(cache)


def test_a_stalled_fetch_fails_with_the_reason(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout(tmp_path / "served")
    monkeypatch.setattr("clinder.localhub.repositories._TRANSFERRING", Limits(silence_s=0.5))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.version")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "0")  # listing the refs then needs no POST
    released = threading.Event()
    with git_server(tmp_path, before_post=lambda: released.wait(20)) as url:
        event = failure(RepositorySpec("git", f"{url}/served/.git", "main"))
        released.set()
    assert "Error during build: The command 'git fetch --progress" in event.message
    assert event.message.endswith("was stopped: it printed nothing for 0.5 s\n")
    assert not processes_of(cache)


def test_a_launch_reports_at_once_that_all_threads_are_busy(silent_remote: str, cache: Path) -> None:
    with serving() as hub:
        for number in range(MORE_THAN_THREADS):
            hub.build(RepositorySpec("git", f"{silent_remote}/{number}", "main"))
        started = time.monotonic()
        stream = hub.build(RepositorySpec("git", f"{silent_remote}/last", "main"))
        event = stream.until(Phase.WAITING)
        assert time.monotonic() - started < SOON_S
        assert event.message == "Waiting for other launches: this hub resolves at most 32 refs at once...\n"
        for path in ("/health", "/versions"):
            assert hub.get(path).status_code == 200
        assert time.monotonic() - started < 2 * SOON_S
        kept = stream.keepalives
        for _ in stream.lines():
            if stream.keepalives > kept + 2:
                break
    eventually(lambda: not processes_of(cache), "git has ended with the hub")


def test_a_hub_with_disconnected_waiting_clients_ends_without_output(silent_remote: str, cache: Path) -> None:
    with serving() as hub:  # `serving` checks that nothing was printed
        for number in range(MORE_THAN_THREADS):
            hub.build(RepositorySpec("git", f"{silent_remote}/{number}", "main"))
        hub.streams[-1].until(Phase.WAITING)
        for stream in hub.streams:
            stream.leave()
        assert hub.get("/health").status_code == 200


def test_work_that_is_cancelled_in_the_queue_is_never_started() -> None:
    begun: list[str] = []
    go_on = threading.Event()

    def steps(name: str) -> Steps[None]:
        begun.append(name)
        go_on.wait(20)
        yield Event(None, name)

    async def launch() -> list[Event]:
        heard: list[Event] = []
        with worker.executor:
            running = [asyncio.create_task(worker.run(steps(str(number)), heard.append)) for number in range(32)]
            waiting = asyncio.create_task(worker.run(steps("waiting"), heard.append))
            while len(begun) < len(running) or not heard:
                await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.sleep(0)
            go_on.set()
            await asyncio.gather(*running)
        return heard

    worker = Worker(Event(Phase.WAITING, "wait"))
    heard = asyncio.run(launch())
    assert "waiting" not in begun
    assert heard[0].message == "wait"
    assert len(heard) == 1 + 32


# The limits themselves


def run(script: str, limits: Limits) -> list[str]:
    return list(Children().lines(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, limits=limits))


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("sleep 20", Limits(total_s=0.3), "it did not end within 0.3 s"),
        ("while :; do echo x; sleep 0.05; done", Limits(total_s=0.5, silence_s=20), "it did not end within 0.5 s"),
        ("echo x; sleep 20", Limits(total_s=20, silence_s=0.3), "it printed nothing for 0.3 s"),
        ("exec >&- 2>&-; sleep 20", Limits(total_s=0.3), "it did not end within 0.3 s"),
    ],
    ids=["silent", "dripping", "stalled", "closed"],
)
def test_a_child_that_takes_too_long_is_stopped(script: str, limits: Limits, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(ChildTimeoutError) as caught:
        run(script, limits)
    assert str(caught.value) == f"The command {f'sh -c {script}'!r} was stopped: {reason}"
    assert time.monotonic() - started < 10


def test_a_slow_reader_does_not_count_against_the_time_limit() -> None:
    lines = Children().lines(
        ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"],
        env={"PATH": "/usr/bin:/bin"},
        limits=Limits(silence_s=1.5),
    )
    assert next(lines) == "1\n"
    time.sleep(2)
    assert list(lines) == ["2\n", "3\n"]
