"""Unusable variants of a `clinder.toml`, as a job, a build or another user could create them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _unreadable(file: Path) -> None:
    file.write_text("hub = [")  # root can read it anyway
    file.chmod(0)


SPOILED: dict[str, Callable[[Path], object]] = {
    "an unknown key": lambda file: file.write_text('hbu = "local"'),
    "invalid TOML": lambda file: file.write_text("hub = ["),
    "an integer of 5,000 digits": lambda file: file.write_text("retry = " + "9" * 5000),
    "a key of 50,000 parts": lambda file: file.write_text(".".join("a" * 50_000) + " = 1"),
    "nested lists": lambda file: file.write_text("a = " + "[" * 100_000),
    "a binary file": lambda file: file.write_bytes(bytes(range(256)) * 100),
    "a huge file": lambda file: file.write_bytes(b"#" * 5_000_000),
    "an unreadable file": _unreadable,
    "a folder": lambda file: file.mkdir(),
}
if os.name != "nt":
    SPOILED |= {
        "a pipe": os.mkfifo,
        "a device": lambda file: file.symlink_to("/dev/zero"),
        "a broken link": lambda file: file.symlink_to("nowhere"),
        "a link to itself": lambda file: file.symlink_to("clinder.toml"),
    }
each_spoiled_file = pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
