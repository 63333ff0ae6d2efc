"""Files that belong to another user, for tests that are no user's who could give any away."""

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
    """Gives files away: `stat` and its likes then name another owner."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._given: dict[tuple[int, int], int] = {}
        for name in ("stat", "lstat", "fstat"):
            monkeypatch.setattr(os, name, self._replace(getattr(os, name)))

    def give(self, *paths: Path, to: int = SOMEBODY) -> None:
        """Give files, folders or links to another user."""
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
    """Other users, and a git that trusts none of them."""
    if os.name == "nt":
        pytest.skip("Windows has no such owners")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GITHUB_WORKSPACE", "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Owners(monkeypatch)
