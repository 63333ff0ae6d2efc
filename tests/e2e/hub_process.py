"""`hub serve` in a separate process, and a client that reads its streams as they arrive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from embedded import LIMIT_S, Session

from clinder.model.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clinder.model.repository import RepositorySpec

SERVE = """
import json, re, sys
from clinder.localhub.http import ServeOptions, serve
options = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(sys.argv[1]).items()}
options["banned"] = tuple(re.compile(pattern, re.IGNORECASE) for pattern in options.get("banned", ()))
serve(ServeOptions(port=0, **options), ready=lambda url: print(url, flush=True))
"""


class Stream:
    """One event stream, read line by line with a time limit."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.events: list[Event] = []
        self.keepalives = 0
        self.ended = False
        self._lines = response.iter_lines(chunk_size=1)

    def lines(self, limit_s: float = LIMIT_S) -> Iterator[str]:
        deadline = time.monotonic() + limit_s
        for line in self._lines:
            assert time.monotonic() < deadline, self.events
            text = line.decode()
            if text == ":keepalive":
                self.keepalives += 1
            elif text.startswith("data: "):
                self.events.append(Event.from_json(text.removeprefix("data: ")))
            if text:
                yield text
        self.ended = True

    def until(self, phase: Phase, words: str = "") -> Event:
        for _ in self.lines():
            if self.events and self.events[-1].phase is phase and words in self.events[-1].message:
                return self.events[-1]
        raise AssertionError(f"no {phase} {words!r} in {self.events}")

    def session(self) -> Session:
        ready = self.until(Phase.READY)
        return Session(ready.details["url"], ready.details["token"])

    def rest(self) -> list[Event]:
        for _ in self.lines():
            pass
        return self.events

    def leave(self) -> None:
        self.response.close()


class HubProcess:
    """A running `hub serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.streams: list[Stream] = []

    def build(self, spec: RepositorySpec | str, *, query: str = "", **headers: str) -> Stream:
        path = spec if isinstance(spec, str) else spec.build_path
        return self.stream(f"{self.url}/build/{path}{query}", **headers)

    def stream(self, url: str, **headers: str) -> Stream:
        sent = {"Accept": "text/event-stream"} | {name.replace("_", "-"): value for name, value in headers.items()}
        response = requests.get(url, headers=sent, stream=True, timeout=LIMIT_S)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        self.streams.append(Stream(response))
        return self.streams[-1]

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=LIMIT_S, allow_redirects=False)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@contextmanager
def serving(**options: Any) -> Iterator[HubProcess]:
    options = {"keepalive_s": 0.2, "linger_s": 0.5, "poll_s": 0.2} | options
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, json.dumps(options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    hub = HubProcess(process, process.stdout.readline().strip())
    try:
        yield hub
    finally:
        process.terminate()
        for stream in hub.streams:
            stream.leave()
        _, printed = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert printed == ""


def write_broken_server(folder: Path) -> Path:
    """Write a `jupyter_server` that exits at once, to be put on `PYTHONPATH` before the real one."""
    package = folder / "broken" / "jupyter_server"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "serverapp.py").write_text("raise SystemExit('pretend the pod could not be scheduled')")
    return package.parent
