"""The servers that this process has launched and not handed over yet: each ends when this process does.

A server reads a pipe that this process holds open (`run_jupyter_server.py`), so that no way of ending this process,
SIGKILL included, leaves a server that nobody has the token of.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Held:
    pipe: int
    mark: Path


_held: dict[str, _Held] = {}
_lock = threading.Lock()


def hold(url: str, pipe: int, mark: Path) -> None:
    """Hold a server's pipe open until the session is handed over, dropped, or this process ends.

    Args:
        url: the session's URL.
        pipe: the descriptor to write to.
        mark: the file that says that the session was handed over, once it was.
    """
    with _lock:
        _held[url] = _Held(pipe, mark)


def offer(url: str, state_file: Path) -> None:
    """Tell the server in which file its session is about to be recorded; does nothing if it is not held here.

    From here on the server survives this process if the session stands in that file.
    """
    with _lock:
        held = _held.get(url)
    if held:
        _say(held, "offer", str(state_file.absolute()), url)


def hand_over(url: str) -> None:
    """Let the server go on without this process; does nothing if it is not held here."""
    with _lock:
        held = _held.pop(url, None)
    if held:
        with suppress(OSError):  # the server makes it, too
            held.mark.touch()
        _say(held, "keep")
        os.close(held.pipe)


def drop(url: str) -> None:
    """Let go of a server that has ended."""
    with _lock:
        held = _held.pop(url, None)
    if held:
        os.close(held.pipe)


def _say(held: _Held, *words: str) -> None:
    with suppress(OSError):  # the server may have ended by itself
        os.write(held.pipe, json.dumps(words).encode() + b"\n")
