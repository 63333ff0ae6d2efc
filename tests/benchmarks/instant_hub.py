"""A hub for the benchmarks that answers at once: it prints its port, and serves until its stdin closes.

It implements the part of BinderHub's HTTP API that a launch needs. The answer to `/build/gh/bench/KIND/SIZE` is
prepared in advance, so that the client is measured and not this server:

- `KIND` `events`: an HTTP chunk for each event, as Tornado flushes them; `blocks`: chunks of 64 KB, cut at any byte;
  `late`: `SIZE` is the seconds to wait before `ready`, so that the client has started by then.
- `SIZE`: how many megabytes of build log come before `ready`; 0: none.

`/ready-at` returns the time when `ready` was last sent, on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK_BYTES = 65536
MEGABYTE = 1_000_000
_WORDS = [
    "Collecting",
    "Downloading",
    "Installing",
    "Requirement",
    "already",
    "satisfied:",
    "building",
    "wheel",
    "for",
    "numpy",
    "scipy",
    "xarray",
    "metpy",
    "cartopy",
    "/srv/conda/envs/notebook/lib/python3.12/site-packages",
    "--->",
    "Running",
    "in",
    "3f2a91c04b7e",
    "Step",
    "42/57",
    ":",
    "RUN",
    "conda-forge/linux-64",
    "2.1.3",
    "py312h7900ff3_0",
    "8.2MB",
    "(from",
    "-r",
    "requirements.txt)",
    "sha256:9c1e4b",
]


def log_line(words: random.Random) -> str:
    """Generate a line of a build log, 100 to 200 characters long."""
    line = ""
    length = words.randint(100, 190)
    while len(line) < length:
        line += words.choice(_WORDS) + " "
    return line.rstrip() + "\n"


def event(**fields: object) -> bytes:
    """Encode an event like BinderHub."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def megabyte_of_log() -> list[bytes]:
    """Generate building events with a megabyte of log text (the stream is a third larger)."""
    words = random.Random(1)  # the same log in every run
    events, size = [], 0
    while size < MEGABYTE:
        line = log_line(words)
        events.append(event(phase="building", message=line))
        size += len(line)
    return events


def chunk(data: bytes) -> bytes:
    """Wrap data in an HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LOG = megabyte_of_log()
STREAM = b"".join(LOG)
IN_EVENTS = b"".join(map(chunk, LOG))
IN_BLOCKS = b"".join(chunk(STREAM[start : start + BLOCK_BYTES]) for start in range(0, len(STREAM), BLOCK_BYTES))


class Handler(BaseHTTPRequestHandler):
    """Answers for the hub, and for the server of every session."""

    protocol_version = "HTTP/1.1"
    ready_at = 0.0

    def do_GET(self) -> None:
        """Serve a launch, or answer as a running server."""
        if self.path.startswith("/build/"):
            self.launch()
        elif self.path == "/ready-at":
            self.answer(Handler.ready_at)
        else:
            self.answer(
                {
                    "connections": 0,
                    "kernels": 0,
                    "last_activity": "2026-01-01T00:00:00Z",
                    "started": "2026-01-01T00:00:00Z",
                }
            )

    def answer(self, document: object) -> None:
        """Send a JSON document."""
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def launch(self) -> None:
        """Send the event stream of a launch."""
        kind, size = self.path.partition("?")[0].rstrip("/").split("/")[-2:]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        url = f"http://{self.headers['Host']}/user/bench/"
        megabyte = IN_EVENTS if kind == "events" else IN_BLOCKS
        self.wfile.write(chunk(event(phase="waiting", message="Waiting for build to start...\n")))
        for _ in range(0 if kind == "late" else int(size)):
            self.wfile.write(megabyte)
        self.wfile.write(chunk(event(phase="built", message="Built image, launching...\n", imageName="bench:1")))
        self.wfile.write(chunk(event(phase="launching", message="Launching server...\n")))
        if kind == "late":
            time.sleep(int(size))
        Handler.ready_at = time.monotonic()
        self.wfile.write(chunk(event(phase="ready", message=f"server running at {url}\n", url=url, token="0" * 32)))
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log no requests."""


class Server(ThreadingHTTPServer):
    """A server with one thread for each connection."""

    request_queue_size = 256


def main() -> None:
    """Serve until stdin closes."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
