"""The embedded hub removes environments and clones that were unused for 90 days when it builds another environment."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from embedded import cache, checkout, cloned, commit, git, launched, local

from clinder.localhub.hub import LocalHub
from clinder.localhub.locks import lock_of
from clinder.localhub.pruning import prune
from clinder.localhub.sessions import stop
from clinder.model.events import Phase

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.model.repository import RepositorySpec

__all__ = ["cache"]

DAY_S = 24 * 3600


def make_old(folder: Path, days: int = 91) -> Path:
    then = time.time() - days * DAY_S
    os.utime(folder, (then, then))
    return folder


def kept(tmp_path: Path, *names: str, days: int = 91) -> Path:
    """A cache folder that contains these folders, each with some content."""
    for name in names:
        (tmp_path / "kept" / name / "prefix").mkdir(parents=True)
        make_old(tmp_path / "kept" / name, days)
    return tmp_path / "kept"


def folders(place: Path) -> set[str]:
    return {path.name for path in place.iterdir() if path.is_dir()}


def test_folders_unused_for_90_days_are_removed(tmp_path: Path) -> None:
    place = kept(tmp_path, "old")
    kept(tmp_path, "young", days=89)
    prune(place)
    assert folders(place) == {"young"}


def test_folders_in_use_or_being_built_are_kept(tmp_path: Path) -> None:
    place = kept(tmp_path, "used", "locked", "neither")
    with lock_of(place / "locked"):
        prune(place, {"used"})
    assert folders(place) == {"used", "locked"}
    prune(place)
    assert folders(place) == set()


def test_a_removal_interrupted_by_a_crash_is_completed(tmp_path: Path) -> None:
    place = kept(tmp_path, ".removed-old", days=0)
    prune(place)
    assert folders(place) == set()


@pytest.fixture
def borrowing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for micromamba, whose environments use this interpreter's packages."""
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "micromamba"
    tool.write_text(
        f"""#!{sys.executable}
import pathlib, sys, sysconfig, venv
prefix = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1])
if sys.argv[1] == "create":
    venv.create(prefix, symlinks=True)
    (prefix / "conda-meta").mkdir()
    (packages,) = prefix.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


def built(spec: RepositorySpec) -> None:
    """Resolve, fetch and build, without launching."""
    for event in LocalHub().events(spec):
        assert event.phase is not Phase.FAILED, event.message
        if event.phase is Phase.BUILT:
            return


@pytest.mark.usefixtures("borrowing")
def test_the_next_build_removes_an_old_environment_unless_a_session_uses_it(tmp_path: Path, cache: Path) -> None:
    place = cache / "environments"
    books = [checkout(tmp_path / name, environment__yml=f"name: {name}\n") for name in ("a", "b", "c", "d")]
    _, session = launched(local(books[0]))
    built(local(books[1]))
    for name in folders(place):
        make_old(place / name)
    built(local(books[2]))
    assert len(folders(place)) == 2, "expected that of the session and the new one"
    assert session.post("api/kernels").status_code == 201
    assert stop(session.url, 10)
    for name in folders(place):
        make_old(place / name)
    built(local(books[2]))
    built(local(books[3]))
    assert len(folders(place)) == 2, "a reused environment does not count as used"


def test_the_next_build_removes_an_old_clone(tmp_path: Path, cache: Path) -> None:
    place = cache / "repositories"
    first, second, third = (checkout(tmp_path / name) for name in ("a", "b", "c"))
    for book in (first, second):
        built(cloned(book))
    for name in folders(place):
        make_old(place / name)
    built(cloned(first, git(first, "rev-parse", "HEAD")))
    built(cloned(third))
    assert len(folders(place)) == 2, "expected the reused one and the new one"
    built(cloned(commit(second, later__txt="fetched anew\n")))
    assert len(folders(place)) == 3
