"""The sessions of this hub: launched with retries as in BinderHub, counted, watched, and stopped with the hub."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clinder.localhub.http.builds import Channel
from clinder.localhub.hub import FailedError
from clinder.localhub.processes import ClosedError
from clinder.localhub.sessions import is_alive, stop
from clinder.model.errors import HubError
from clinder.model.events import Event, Phase

if TYPE_CHECKING:
    from clinder.localhub.http.options import ServeOptions
    from clinder.localhub.http.workers import Worker
    from clinder.localhub.hub import Image, LocalHub
    from clinder.localhub.server import Server

_STOP_S = 5.0


class Sessions:
    """All sessions that this hub started; an ended one is removed at the next poll."""

    def __init__(self, hub: LocalHub, options: ServeOptions, worker: Worker) -> None:
        self._hub = hub
        self._options = options
        self._worker = worker
        self._servers: dict[str, Server] = {}
        self._launches: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._servers)

    def port(self, name: str) -> int | None:
        """Get the port of a session's server; `None` if there is no session of that name."""
        server = self._servers.get(name)
        return urlsplit(server.url).port if server else None

    def launch(self, image: Image, origin: str) -> Channel:
        """Launch a session and return its events; the launch continues even if nobody reads them.

        Args:
            image: the image to launch.
            origin: the scheme, host and port of the session's URL.
        """
        channel = Channel()
        task = asyncio.create_task(self._launch(image, origin, channel))
        self._launches.add(task)
        task.add_done_callback(self._launches.discard)
        task.add_done_callback(channel.close)
        return channel

    async def watch(self) -> None:
        """Poll the processes of the servers, and remove those that have ended."""
        while True:
            await asyncio.sleep(self._options.poll_s)
            await asyncio.to_thread(self._remove_ended)

    async def close(self) -> None:
        """Stop all sessions, including those being launched."""
        await asyncio.gather(*self._launches, return_exceptions=True)
        loop = asyncio.get_running_loop()
        servers = list(self._servers.values())
        await asyncio.gather(*(loop.run_in_executor(self._worker.executor, self._stop, server) for server in servers))

    async def _launch(self, image: Image, origin: str, channel: Channel) -> None:
        quota = self._options.quota
        # Launches in progress count too, including this one.
        if quota is not None and len(self._servers) + len(self._launches) > quota:
            channel.on_event(Event(Phase.FAILED, "Too many users on this BinderHub! Try again soon.\n"))
            return

        def on_event(event: Event) -> None:
            channel.on_event(_rewrite_urls(event, origin))

        for number, delay_s in enumerate((*self._options.launch_retries_s, None), start=1):
            steps = self._hub.launch(image, on_started=self._keep, show_preamble=number == 1)
            try:
                await self._worker.run(steps, on_event)
            except FailedError as error:
                on_event(Event(Phase.LAUNCHING, error.event.message))
                if delay_s is None:
                    on_event(replace(error.event, status_code=500))
                    return
                on_event(Event(Phase.LAUNCHING, f"Launch attempt {number} failed, retrying...\n"))
                await asyncio.sleep(delay_s)
            except HubError as error:
                on_event(Event(Phase.FAILED, f"{error.message}\n", status_code=500))
                return
            except ClosedError:
                return
            else:
                return

    def _keep(self, server: Server) -> None:
        self._servers[server.name] = server

    def _remove_ended(self) -> None:
        for server in list(self._servers.values()):
            if not is_alive(server.url, cache_dir=self._options.cache_dir):
                self._stop(server)

    def _stop(self, server: Server) -> None:
        stop(server.url, _STOP_S, cache_dir=self._options.cache_dir)
        self._servers.pop(server.name, None)


def _rewrite_urls(event: Event, origin: str) -> Event:
    """Rewrite an event for clients, so that the session's URL leads through this hub."""
    if event.phase is not Phase.READY:
        return event
    url = origin + urlsplit(str(event.details["url"])).path
    details = {**event.details, "url": url, "binder_launch_host": f"{origin}/", "binder_client_ip": "127.0.0.1"}
    return replace(event, message=f"server running at {url}\n", details=details)
