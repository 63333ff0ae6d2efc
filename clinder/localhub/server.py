"""Starts a Jupyter Server for one session, in a process of its own that outlives clinder once it is handed over.

Its settings and token lie in a file that only the owner can read: neither is on its command line or in its
environment. Of the user's own Jupyter settings it sees nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import secrets
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinder.localhub import handover, records
from clinder.localhub.cache import Cache, private_folder, slug
from clinder.localhub.environment_variables import for_server, runtime_folder
from clinder.localhub.processes import Detached, ProcessId, end, identify, is_running, start_detached
from clinder.system.files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinder.localhub.environment import Environment

_IDLE_S = 6 * 3600
_IDLE_LOOK_S = 60
"""How often kernels and terminals are checked for being idle; the server checks itself once a minute."""
_START_S = 60
_POLL_S = 0.05
_LOG_LINES = 20
_SERVE = Path(__file__).with_name("run_jupyter_server.py")


class LaunchFailedError(Exception):
    """The server did not come up."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: the session's URL and token, and the process."""

    name: str
    url: str
    token: str
    process: ProcessId


def start(
    cache: Cache,
    *,
    title: str,
    environment: Environment,
    copy_to: Callable[[Path], None],
    raise_if_closed: Callable[[], None],
) -> Server:
    """Start a server on a fresh copy of the repository and wait until it answers.

    It ends with this process until the session is handed over (`clinder.localhub.handover`).

    Args:
        cache: where the session's folder goes.
        title: what the session's name reminds of.
        environment: what serves.
        copy_to: puts the repository into a folder that is still to be made.
        raise_if_closed: called often; raises to give up.

    Raises:
        LaunchFailedError: it ended, or did not answer in time; the message holds the end of its log.
        HubError: nothing can be kept in the cache.
    """
    name = f"{slug(title)}-{secrets.token_hex(6)}"
    launcher = identify(os.getpid())
    record = records.Record(name, platform.node(), launcher, environment=environment.name)
    detached: Detached | None = None
    try:
        records.keep(cache, record)
        folder = private_folder(cache.sessions / name)
        copy_to(folder / "work")
        token = secrets.token_urlsafe(24)
        _settings(folder, environment.python, name, token)
        detached = start_detached(
            [str(environment.python), str(_SERVE), str(cache.kept(name))],
            env=for_server(environment.prefix, folder),
            cwd=folder / "work",
            log=folder / "server.log",
        )
        process = detached.process
        record = replace(record, server=process)
        records.keep(cache, record)
        url = _wait(folder, process, token, raise_if_closed)
        records.keep(cache, replace(record, url=url))
        assert process is not None
        handover.hold(url, detached.pipe, cache.kept(name))
        return Server(name, url, token, process)
    except BaseException as error:
        if detached is not None:
            if detached.process is not None:
                end(detached.process, 1.0)
            os.close(detached.pipe)
        records.forget(cache, name)
        if isinstance(error, OSError):
            raise LaunchFailedError(f"Could not start the Jupyter Server: {error}") from error
        raise


def discard(cache: Cache, server: Server) -> None:
    """End a server that nobody got to know of, and remove every trace of it."""
    end(server.process, 1.0)
    handover.drop(server.url)
    records.forget(cache, server.name)


def _settings(folder: Path, python: Path, name: str, token: str) -> None:
    config, kernel = folder / "config", folder / "data" / "kernels" / "python3"
    for path in (
        config,
        folder / "data",
        folder / "data" / "kernels",
        kernel,
        runtime_folder(folder),
        folder / "ipython",
    ):
        private_folder(path)
    settings: dict[str, Any] = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": _free_port(),
            "base_url": f"/user/{name}/",
            "root_dir": str(folder / "work"),
            "open_browser": False,
            "allow_root": True,
            "shutdown_no_activity_timeout": _IDLE_S,
        },
        # A server with a kernel or a terminal counts as active: idle ones are closed after the same time, also those
        # that a forgotten browser tab is connected to. What computes is not idle.
        "MappingKernelManager": {
            "cull_idle_timeout": _IDLE_S,
            "cull_interval": min(_IDLE_LOOK_S, _IDLE_S),
            "cull_connected": True,
        },
        "TerminalManager": {
            "cull_inactive_timeout": _IDLE_S,
            "cull_interval": min(_IDLE_LOOK_S, _IDLE_S),
        },
        "IdentityProvider": {"token": token},
    }
    write_private(config / "jupyter_server_config.json", json.dumps(settings))
    # The environment's own kernel: a user's kernels of the same name would otherwise come first.
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": command,
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "metadata": {"debugger": True},
    }
    write_private(kernel / "kernel.json", json.dumps(spec))


def _free_port() -> int:
    """A port to begin with: the server takes another one if this is no longer free by then."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(folder: Path, process: ProcessId | None, token: str, raise_if_closed: Callable[[], None]) -> str:
    deadline = time.monotonic() + _START_S
    while process is not None and is_running(process):
        raise_if_closed()
        if (url := _listening_at(folder)) and _answers(url, token):
            return url
        if time.monotonic() >= deadline:
            raise LaunchFailedError(_with_log(f"The Jupyter Server did not answer within {_START_S} seconds.", folder))
        time.sleep(_POLL_S)
    raise LaunchFailedError(_with_log("The Jupyter Server ended while it was starting.", folder))


def _listening_at(folder: Path) -> str:
    """The URL that the server wrote down itself (`jpserver-<pid>.json`), once it listens."""
    for path in runtime_folder(folder).glob("jpserver-*.json"):
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["url"])
        except (OSError, ValueError, KeyError):
            return ""
    return ""


def _answers(url: str, token: str) -> bool:
    # http.client knows of no proxies: what goes to the loopback must not leave the machine.
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", f"/{path}api/status", headers={"Authorization": f"token {token}"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _with_log(message: str, folder: Path) -> str:
    try:
        lines = (folder / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join([message, *lines[-_LOG_LINES:]])
