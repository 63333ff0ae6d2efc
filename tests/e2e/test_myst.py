"""`clinder run -- myst build`: the real MyST executes on a real Jupyter Server, and failures are reported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from books import WHERE, book, executed, forget_build, kept_cache, notebook, page, place, servers, started
from commands import LIMIT_S, clinder
from embedded import commit, eventually
from hub_process import serving
from pace import assert_took_under
from tools import jupyter_book, myst

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["jupyter_book", "kept_cache", "myst", "place"]

BUILD = ("build", "--site", "--execute", "--strict")


@pytest.fixture
def cookbook(place: Path) -> Path:
    """A cookbook with two executable pages and one without code. The pages differ because MyST caches by content."""
    folder = place / f"cookbook-{len(list(place.iterdir()))}"
    return book(
        folder, index__md="# Hello\n", first__ipynb=notebook(WHERE), second__md=page(f"{WHERE}\nprint('the second')")
    )


def run(folder: Path, *arguments: str) -> None:
    forget_build(folder)
    clinder(folder, "run", *arguments)


def assert_executed_in_session(folder: Path, cache: Path) -> None:
    results = executed(folder)
    assert len(results) == 2
    for result in results:
        assert f"ran in {cache / 'sessions'}" in result


def test_every_page_is_executed_in_a_session_that_is_then_stopped(
    cookbook: Path, myst: str, kept_cache: Path, place: Path
) -> None:
    run(cookbook, "--", myst, *BUILD)
    assert_executed_in_session(cookbook, kept_cache)
    assert servers(place) == []


def test_every_page_is_executed_over_hub_serve(cookbook: Path, myst: str, kept_cache: Path, place: Path) -> None:
    with serving() as hub:
        run(cookbook, "--hub", hub.url, "--repo", f"git:{cookbook.as_uri()}", "--", myst, *BUILD)
        assert_executed_in_session(cookbook, kept_cache)
        assert servers(place) == []


def test_jupyter_book_2_executes_every_page(cookbook: Path, jupyter_book: str, kept_cache: Path, place: Path) -> None:
    run(cookbook, "--", jupyter_book, *BUILD)
    assert_executed_in_session(cookbook, kept_cache)
    assert servers(place) == []


def test_a_cell_that_raises_fails_the_run(cookbook: Path, myst: str, place: Path) -> None:
    (cookbook / "second.md").write_text(page("1 / 0"))
    with started(cookbook, "run", "--", myst, *BUILD) as process:
        said = "".join(process.communicate(timeout=LIMIT_S))
    assert process.returncode == 1
    assert "ZeroDivisionError" in said
    assert servers(place) == []


@pytest.mark.parametrize("hub", ["local", "served"])
def test_a_server_killed_during_a_cell_ends_the_run_with_a_report(
    cookbook: Path, myst: str, place: Path, tmp_path: Path, hub: str
) -> None:
    mark = tmp_path / "cell-runs"
    (cookbook / "second.md").write_text(
        page(f"import pathlib, time\npathlib.Path({str(mark)!r}).touch()\ntime.sleep(600)")
    )
    forget_build(cookbook)
    with serving() as served:
        other = ["--hub", served.url, "--repo", f"git:{cookbook.as_uri()}"] if hub == "served" else []
        commit(cookbook)
        with started(cookbook, "run", *other, "--", myst, *BUILD) as process:
            eventually(lambda: mark.exists() or process.poll() is not None, "the cell runs")
            assert process.poll() is None, process.communicate()
            for server in servers(place):
                server.kill()
            killed_at = time.monotonic()
            _, said = process.communicate(timeout=60)
            assert_took_under(time.monotonic() - killed_at, 60)
    assert process.returncode == 6
    assert "clinder: the session was lost after " in said
    assert ("its process has ended" if hub == "local" else "no such server any more") in said
    assert "mybinder.org after 10 minutes without activity, and after 6 hours at most" in said
    assert servers(place) == []


SLOW_ONCE = """
import pathlib, sys, time
mark = pathlib.Path({mark!r})
if not mark.exists():
    time.sleep(15)
    mark.touch()
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""


def test_a_kernel_that_needs_15_seconds_to_start_does_not_fail_the_build(
    cookbook: Path, myst: str, kept_cache: Path, tmp_path: Path
) -> None:
    """Only the first start is slow, as on a fresh image. A kernel starts in the repository, which has its launcher."""
    (cookbook / "ipykernel_launcher.py").write_text(SLOW_ONCE.format(mark=str(tmp_path / "was-slow")))
    began = time.monotonic()
    run(cookbook, "--", myst, *BUILD)
    assert time.monotonic() - began > 15
    assert_executed_in_session(cookbook, kept_cache)
