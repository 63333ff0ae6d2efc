"""Builds, shared by all requests for the same image, and their events."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from clinder.localhub.http.workers import Worker
    from clinder.localhub.hub import Image, LocalHub, Resolved
    from clinder.model.events import Event

_TAIL = 100


class Channel:
    """A queue of events from a task to one stream."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def on_event(self, event: Event) -> None:
        """Send an event."""
        self._queue.put_nowait(event)

    def close(self, _future: object = None) -> None:
        """End the channel."""
        self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events until the channel ends."""
        while (event := await self._queue.get()) is not None:
            yield event


class Build:
    """One build in progress; it continues even if every client disconnects."""

    def __init__(self, run: Callable[[Callable[[Event], None]], Awaitable[Image]]) -> None:
        self._tail: deque[Event] = deque(maxlen=_TAIL)
        self._channels: set[Channel] = set()
        self.task: asyncio.Future[Image] = asyncio.ensure_future(run(self._report))
        self.task.add_done_callback(self._close)

    async def events(self) -> AsyncIterator[Event]:
        """Yield the last hundred events of the build, then each new one until the build ends."""
        channel = Channel()
        for event in self._tail:
            channel.on_event(event)
        if self.task.done():
            channel.close()
        self._channels.add(channel)
        try:
            async for event in channel.events():
                yield event
        finally:
            self._channels.discard(channel)

    async def image(self) -> Image:
        """Wait for the built image.

        Raises:
            FailedError: the build failed.
            ClosedError: the hub was closed.
        """
        return await asyncio.shield(self.task)

    def _report(self, event: Event) -> None:
        self._tail.append(event)
        for channel in self._channels:
            channel.on_event(event)

    def _close(self, task: asyncio.Future[Image]) -> None:
        # Retrieved here, so that asyncio does not report a failure that no stream waits for.
        task.exception()
        for channel in self._channels:
            channel.close()


class Builds:
    """All builds in progress, by image."""

    def __init__(self, hub: LocalHub, worker: Worker) -> None:
        self._hub = hub
        self._worker = worker
        self._running: dict[str, Build] = {}

    def __len__(self) -> int:
        return len(self._running)

    def get(self, resolved: Resolved) -> Build:
        """Get the build of this image; start it unless it is in progress."""
        build = self._running.get(resolved.image)
        if build is None:
            build = Build(lambda on_event: self._worker.run(self._hub.build(resolved), on_event))
            self._running[resolved.image] = build
            build.task.add_done_callback(lambda _: self._running.pop(resolved.image, None))
        return build

    async def wait(self) -> None:
        """Wait until all builds have ended, successfully or not."""
        await asyncio.gather(*(build.task for build in self._running.values()), return_exceptions=True)
