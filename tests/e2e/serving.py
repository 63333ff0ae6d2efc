"""`clinder hub serve` in a separate process, for the duration of a test."""

from __future__ import annotations

import re
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from commands import CLINDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A running hub."""

    url: str
    process: subprocess.Popen[str]


@pytest.fixture
def served(cache: Path) -> Iterator[Served]:
    """Serve the embedded hub on a free port; SIGTERM stops it and its sessions."""
    command = [CLINDER, "hub", "serve", "--port", "0", "--poll", "0.2s"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, said
    yield Served(found[0], process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
