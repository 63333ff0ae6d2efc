"""The lock on a state folder, and the record of the process that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from clinder.model.errors import LockedError, StateError
from clinder.model.records import read_record, write_record
from clinder.model.wording import os_hint, os_reason
from clinder.state.records import Process
from clinder.system.folders import trust_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clinder.system.folders import OpenFolder, PrivateFolder

LOCK_FILE = "state.lock"
HOLDER_FILE = "state.holder.json"
_HOLDER_BYTES = 64 * 1024
_POLL_S = 0.1
_GLANCE_S = 0.05
"""How long a process may hold the lock while it only checks whether it is held (`is_held`)."""
_HOLDER_S = 0.2
"""How long after the lock is acquired its holder may be recorded."""


class StateLock:
    """The lock on a state folder. The operating system releases it when the process ends.

    Args:
        folder: the state folder.
        prepare: a function that creates the folder if necessary, and opens it.
    """

    def __init__(self, folder: PrivateFolder, prepare: Callable[[], OpenFolder]) -> None:
        self._folder = folder
        self._prepare = prepare

    @contextlib.contextmanager
    def held(
        self,
        operation: str,
        *,
        timeout_s: float,
        on_wait: Callable[[Process | None], None],
        is_cancelled: Callable[[], bool],
    ) -> Iterator[OpenFolder]:
        """Hold the lock and record its holder; the arguments and errors are those of `StateFolder.locked`."""
        try:
            folder, hold = self._acquire(timeout_s, on_wait, is_cancelled)
        except OSError as error:
            raise StateError(
                f"{self._folder.path} cannot be locked: {os_reason(error)}",
                hint=trust_hint(error)
                or (os_hint(error) or "Make it writable, or choose another folder with --state-dir.")
                + " A session that is recorded there continues to run.",
            ) from error
        with hold:
            with contextlib.suppress(OSError):
                folder.write(HOLDER_FILE, write_record(Process.current(operation)) + "\n")
            try:
                yield folder
            finally:
                with contextlib.suppress(OSError):
                    folder.remove(HOLDER_FILE)

    def _acquire(
        self, timeout_s: float, on_wait: Callable[[Process | None], None], is_cancelled: Callable[[], bool]
    ) -> tuple[OpenFolder, contextlib.ExitStack]:
        acquired = self._wait(_GLANCE_S, poll_s=_GLANCE_S / 5)
        if acquired is None:
            on_wait(self._await_holder())
            acquired = self._wait(timeout_s, poll_s=_POLL_S, is_cancelled=is_cancelled)
        if acquired is None:
            raise LockedError(
                f"{self._folder.path} is locked by {self.holder() or 'another clinder'}",
                hint="Wait until it has finished, or use a longer --lock-timeout.",
            )
        return acquired

    def _wait(
        self, timeout_s: float, *, poll_s: float, is_cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[OpenFolder, contextlib.ExitStack] | None:
        """Try to acquire the lock until the timeout (negative: no limit) or until waiting is cancelled."""
        until = time.monotonic() + timeout_s
        while (acquired := self._try()) is None:
            remaining_s = until - time.monotonic() if timeout_s >= 0 else poll_s
            if remaining_s <= 0 or is_cancelled():
                return None
            time.sleep(min(poll_s, remaining_s))
        return acquired

    def _try(self) -> tuple[OpenFolder, contextlib.ExitStack] | None:
        """Acquire the lock if it is free; return the open folder, and a stack that closes it and releases the lock."""
        import filelock  # only for commands that write

        with contextlib.ExitStack() as opened:
            folder = opened.enter_context(self._prepare())
            descriptor = folder.open_or_create_file(LOCK_FILE)
            opened.callback(os.close, descriptor)
            if not filelock.lock_descriptor(descriptor, blocking=False):
                return None
            opened.callback(filelock.unlock_descriptor, descriptor)
            if not os.fstat(descriptor).st_nlink:  # deleted since it was opened: other processes lock a new file
                return None
            return folder, opened.pop_all()

    def is_held(self) -> bool:
        """Whether another process holds the lock; checked by acquiring it for a moment."""
        import filelock  # only for commands that write

        try:
            with contextlib.ExitStack() as opened:
                folder = opened.enter_context(self._folder.open())
                descriptor = folder.open_file(LOCK_FILE, os.O_RDWR)
                opened.callback(os.close, descriptor)
                return not filelock.lock_descriptor(descriptor, blocking=False)
        except OSError:
            return False

    def _await_holder(self) -> Process | None:
        """Get the process that holds the lock; wait a moment, because it is recorded after the lock is acquired."""
        until = time.monotonic() + _HOLDER_S
        while (holder := self.holder()) is None and time.monotonic() < until:
            time.sleep(_HOLDER_S / 20)
        return holder

    def holder(self) -> Process | None:
        """Get the process that holds the lock; `None` if it is unknown."""
        try:
            with self._folder.open() as folder:
                return read_record(Process, json.loads(folder.read(HOLDER_FILE, max_bytes=_HOLDER_BYTES)))
        except (OSError, ValueError, RecursionError):
            return None
