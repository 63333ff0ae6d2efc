"""A second signal ends a command at once, except where that would be an internal error."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from clinder.model.errors import InterruptedBySignalError
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_S = 20.0


def test_a_second_signal_waits_while_a_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the thread may have ended before `start` returns; `threading` then knows it no longer."""
    start = threading._start_new_thread  # type: ignore[attr-defined]
    ended = threading.Event()

    def start_slowly(bootstrap: Callable[[], object], arguments: tuple[Any, ...]) -> None:
        def run() -> None:
            bootstrap()
            ended.set()

        start(run, arguments)
        deadline = time.monotonic() + LIMIT_S
        while not ended.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    with Interrupts().installed() as interrupts:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)  # what comes at once counts as one
        thread = threading.Thread(target=lambda: None)
        monkeypatch.setattr(threading, "_start_new_thread", start_slowly)
        with pytest.raises(InterruptedBySignalError, match="second signal"):  # noqa: PT012  # comes out of either
            thread.start()
            time.sleep(LIMIT_S)
        assert interrupts.is_repeated
