"""A hub that launches a separate session for every request, and knows which of them are running.

`hub.servers.JupyterSession` is a single session whose behaviour a test controls. This hub is for tests with many
launches, which compare the hub's list of sessions with the recorded state.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field

from hub.channels import answering, serve
from hub.servers import DEATHS, LIMIT_S, Connection, Handler, Request, Server, event, play

_PREFIX = "/user/"


@dataclass
class Launched:
    """A session that the hub launched.

    Attributes:
        url: its URL.
        token: its token.
        ref: the requested ref, which is the last part of the spec.
        mode: `running`, or one of `hub.servers.DEATHS`.
        survives: how many shutdown requests it answers with 200 without doing anything.
        is_sick: whether it answers 500 to everything except a shutdown request.
        was_asked: whether it has received any request.
    """

    url: str
    token: str
    ref: str
    mode: str = "running"
    survives: int = 0
    is_sick: bool = False
    was_asked: bool = False
    kernels: list[str] = field(default_factory=list)


class Cluster(Server):
    """The hub and the proxy in front of all its sessions, at one address.

    Attributes:
        sessions: every session that was ever launched, by name.
        build: answers launch requests instead of a launch, if set.
        before_ready: called when a session is running, before its `ready` is sent.
    """

    def __init__(self) -> None:
        super().__init__(self._route)
        self.sessions: dict[str, Launched] = {}
        self.build: Handler | None = None
        self.before_ready: Handler = lambda _request, _connection: None
        self._lock = threading.Lock()

    @property
    def running(self) -> set[str]:
        """The URLs of the sessions whose servers are running, reachable or not."""
        return {known.url for known in list(self.sessions.values()) if not is_gone(known.mode)}

    def find(self, url: str) -> Launched:
        """The session at a URL."""
        return self.sessions[url.removeprefix(self.url + _PREFIX).strip("/")]

    def add(self, ref: str = "main") -> Launched:
        """Launch a session, as if by a request of another client."""
        with self._lock:
            name = f"s{len(self.sessions)}"
            self.sessions[name] = Launched(f"{self.url}{_PREFIX}{name}/", f"token-of-{name}", ref)
        return self.sessions[name]

    def settle(self) -> None:
        """Wait until every request that was sent has had its effect, even if its client has exited."""
        with socket.create_connection(("127.0.0.1", self.port), LIMIT_S) as probe:
            probe.sendall(b"GET /versions HTTP/1.1\r\n\r\n")
            probe.recv(1)  # connections are accepted in order, so all earlier ones are being served
        for thread in self._threads[1:]:
            thread.join(LIMIT_S)
        del self._threads[1:]

    def _route(self, request: Request, connection: Connection) -> None:
        if request.path.startswith("/build/"):
            (self.build or self._launch)(request, connection)
            return
        name, _, path = request.path.removeprefix(_PREFIX).partition("/")
        known = self.sessions.get(name)
        if known is None:
            connection.html(404)
            return
        known.was_asked = True
        if known.mode != "running":
            DEATHS[known.mode](request, connection)
        elif request.headers.get("authorization") != f"token {known.token}":
            connection.json(403, {"message": "Forbidden"})
        elif known.is_sick and request.method == "GET":
            connection.html(500)
        else:
            _serve(known, request, path, connection)

    def _launch(self, request: Request, connection: Connection) -> None:
        """Launch a session even if the client has disconnected, as a real hub does."""
        made = self.add(request.path.rpartition("/")[2])
        play(
            connection,
            event("built", "Found built image\n", imageName="r/x:1"),
            event("launching", "Launching server...\n"),
            lambda connection: self.before_ready(request, connection),
            event("ready", "running\n", url=made.url, token=made.token, image="r/x:1"),
        )


def is_gone(mode: str) -> bool:
    """Whether a session that answers in this way no longer exists."""
    return mode in ("302", "404", "424", "403 HTML")


def _serve(known: Launched, request: Request, path: str, connection: Connection) -> None:
    match request.method, path.split("/")[1:]:
        case "GET", ["status"]:
            connection.json(200, {"connections": 0, "kernels": len(known.kernels), "last_activity": "", "started": ""})
        case "POST", ["shutdown"]:
            if known.survives:
                known.survives -= 1
            else:
                known.mode = "404"
            connection.answer(200)
        case "POST", ["kernels"]:
            known.kernels.append(f"k{len(known.kernels)}")
            connection.json(201, {"id": known.kernels[-1]})
        case "GET", ["kernels", _, "channels"]:
            serve(request, connection, answering, 0)
        case "GET", ["kernels", identifier]:
            connection.json(200, {"id": identifier, "execution_state": "idle"})
        case "DELETE", ["kernels", identifier]:
            known.kernels.remove(identifier)
            connection.answer(204)
        case _:
            connection.json(404, {"message": "Not Found"})
