"""The web application of the hub: its routes, and how it starts and stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

from clinder.localhub.http.builds import Builds
from clinder.localhub.http.limits import RateLimiter
from clinder.localhub.http.pages import HealthHandler, JsonHandler, PageHandler, providers, versions
from clinder.localhub.http.proxy import HubHandler, SessionHandler
from clinder.localhub.http.sessions import Sessions
from clinder.localhub.http.stream import BuildHandler, Hub, RedirectHandler
from clinder.localhub.http.workers import Workers
from clinder.localhub.hub import LocalHub
from clinder.model.errors import HubError
from clinder.model.wording import os_hint, os_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from clinder.localhub.http.options import ServeOptions

_HOST = "127.0.0.1"
_ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # there is no SIGHUP on Windows


async def run(options: ServeOptions, ready: Callable[[str], None]) -> None:
    """Serve until a signal, then stop everything that was started."""
    local = LocalHub(options.cache_dir)
    stopping = asyncio.Event()
    with Workers.prepare() as workers:
        sessions = Sessions(local, options, workers.launching)
        limit = RateLimiter(options.rate_limit) if options.rate_limit is not None else None
        hub = Hub(options, local, workers.resolving, Builds(local, workers.building), sessions, limit)
        restore = _on_signals(stopping)
        listeners: list[HTTPServer] = []
        watching = asyncio.create_task(sessions.watch())
        try:
            ready(_listen(hub, listeners))
            await stopping.wait()
        finally:
            watching.cancel()
            for listener in listeners:
                listener.stop()
            await _end(hub)
            for listener in listeners:
                await listener.close_all_connections()
            restore()


def _listen(hub: Hub, listeners: list[HTTPServer]) -> str:
    build: tuple[type[Any], dict[str, Any]] = (BuildHandler, {"hub": hub})
    if hub.options.redirect:
        member_port = _serve(_application(hub, build), 0, listeners)
        build = (RedirectHandler, {"member_port": member_port})
    port = _serve(_application(hub, build), hub.options.port, listeners)
    return f"http://{_HOST}:{port}"


def _application(hub: Hub, build: tuple[type[Any], dict[str, Any]]) -> Application:
    def pods() -> tuple[int, int]:
        return len(hub.builds), len(hub.sessions)

    return Application(
        [
            (r"/build/([^/]+)/(.+)", *build),
            (r"/user/([^/]+)(?:/.*)?", SessionHandler, {"sessions": hub.sessions, "options": hub.options}),
            (r"/hub/(.*)", HubHandler),
            (r"/versions", JsonHandler, {"content": versions()}),
            (r"/api/repoproviders", JsonHandler, {"content": providers()}),
            (r"/health", HealthHandler, {"options": hub.options, "pods": pods}),
            (r".*", PageHandler),
        ],
        # Without this, tornado logs each request on stderr.
        log_function=lambda _handler: None,
    )


def _serve(application: Application, port: int, listeners: list[HTTPServer]) -> int:
    try:
        listening = socket.create_server((_HOST, port))
    except OSError as error:
        raise HubError(
            f"cannot listen on {_HOST}:{port}: {os_reason(error)}",
            hint=os_hint(error) or "Use another port; 0 picks a free one.",
        ) from error
    listener = HTTPServer(application)
    listening.setblocking(False)
    listener.add_socket(listening)
    listeners.append(listener)
    return int(listening.getsockname()[1])


async def _end(hub: Hub) -> None:
    streams = list(hub.streams)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    await asyncio.to_thread(hub.local.close)
    await hub.builds.wait()
    await hub.sessions.close()


def _on_signals(stopping: asyncio.Event) -> Callable[[], None]:
    """Set the event on each signal that ends a command; return a function that restores the previous handlers.

    An ignored signal stays ignored, for `nohup`.
    """
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in _ENDING_SIGNALS if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}
    for number in before:
        try:
            loop.add_signal_handler(number, stopping.set)
        except NotImplementedError:
            # Windows.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))

    def restore() -> None:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)

    return restore
