"""Simulated file owners, for tests that cannot change the owner of a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOMEBODY, ANYBODY = 4321, 4322
NAME = f"user {SOMEBODY}"


class Owners:
    """Changes the owner of files, as reported by `stat`, `lstat` and `fstat`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._given: dict[tuple[int, int], int] = {}
        for name in ("stat", "lstat", "fstat"):
            monkeypatch.setattr(os, name, self._replace(getattr(os, name)))

    def give(self, *paths: Path, to: int = SOMEBODY) -> None:
        """Change the owner of files, folders or links."""
        for path in paths:
            found = path.lstat()
            self._given[found.st_dev, found.st_ino] = to

    def _replace(self, look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def look_again(*arguments: Any, **options: Any) -> os.stat_result:
            found = look(*arguments, **options)
            owner = self._given.get((found.st_dev, found.st_ino))
            if owner is None:
                return found
            pickled: Any = found.__reduce__()
            fields, more = pickled[1]
            return os.stat_result((*fields[:4], owner, *fields[5:]), more)

        return look_again


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Owners:
    """Simulated owners, and a git configuration that trusts nobody."""
    if os.name == "nt":
        pytest.skip("Windows has no such owners")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GITHUB_WORKSPACE", "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Owners(monkeypatch)
