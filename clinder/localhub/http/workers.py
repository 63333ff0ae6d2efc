"""The thread pools in which `hub serve` runs the embedded hub, one for each kind of work."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from clinder.model.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from clinder.localhub.hub import Steps

_THREADS = 32
_WAITING_S = 1.0
"""How long work may wait for a thread before its client is informed."""
_Result = TypeVar("_Result")


class Worker:
    """A thread pool for one kind of work."""

    def __init__(self, waiting: Event) -> None:
        """Prepare the pool; threads are started when needed.

        Args:
            waiting: the event for clients that wait while all threads are busy.
        """
        self.executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="hub")
        self._waiting = waiting

    async def run(self, steps: Steps[_Result], on_event: Callable[[Event], None]) -> _Result:
        """Run steps of the embedded hub in a thread; if cancelled before a thread is free, they never start.

        Args:
            steps: the steps to run.
            on_event: called in the event loop's thread with each event, first with `waiting` if no thread is free.

        Raises:
            FailedError: a step failed.
            ClosedError: the hub was closed.
        """
        loop = asyncio.get_running_loop()
        begun = threading.Event()

        def drain() -> _Result:
            begun.set()
            while True:
                try:
                    event = next(steps)
                except StopIteration as stop:
                    result: _Result = stop.value
                    return result
                loop.call_soon_threadsafe(on_event, event)

        def report_waiting() -> None:
            if not begun.is_set():
                on_event(self._waiting)

        timer = loop.call_later(_WAITING_S, report_waiting)
        try:
            return await loop.run_in_executor(self.executor, drain)
        finally:
            timer.cancel()


@dataclass(frozen=True, slots=True)
class Workers:
    """The thread pools; they are separate so that a remote that hangs does not block the start of sessions.

    A context manager: on exit, it waits for work in progress.
    """

    resolving: Worker
    building: Worker
    launching: Worker

    @classmethod
    def prepare(cls) -> Workers:
        """Make the workers without starting any thread."""
        return cls(
            Worker(_waiting(Phase.WAITING, "launches: this hub resolves at most {} refs at once")),
            Worker(_waiting(Phase.WAITING, "builds: this hub runs at most {} at once")),
            Worker(_waiting(Phase.LAUNCHING, "launches: this hub starts at most {} servers at once")),
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for worker in (self.resolving, self.building, self.launching):
                stack.enter_context(worker.executor)


def _waiting(phase: Phase, for_what: str) -> Event:
    return Event(phase, f"Waiting for other {for_what.format(_THREADS)}...\n")
