"""The live view on a terminal, during and after a launch."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from clinder.model.events import Attempt, Event, LayerProgress, Message, Phase, Verified, Verifying
from clinder.model.repository import RepositorySpec
from clinder.output.live import LiveProgress

SPEC = RepositorySpec("gh", "org/name", "main")
ATTEMPT = Attempt("https://hub.example.org", SPEC, 1, 3)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A terminal that records everything written to it."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        console = Console(
            file=self.file, force_terminal=True, width=100, height=30, highlight=False, markup=False, emoji=False
        )
        self.view = LiveProgress(console=console)

    def show(self, *items: Event | Attempt | Verifying | Verified | Message) -> None:
        for item in items:
            self.view(item)
        live = self.view._live
        if live is not None:
            live.refresh()

    @property
    def text(self) -> str:
        return CONTROL.sub("", self.file.getvalue())


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_the_phases_and_the_end_of_the_log_are_shown(screen: Screen) -> None:
    screen.show(ATTEMPT, Event(Phase.BUILDING, "Step 1\n"), Event(Phase.BUILDING, "Step 2\n"))
    assert "launching gh/org/name/main on https://hub.example.org" in screen.text
    assert "✓  waiting" in screen.text
    assert "building" in screen.text
    assert "Step 2" in screen.text
    screen.view.close(succeeded=True)


def test_progress_that_overwrites_itself_takes_one_line(screen: Screen) -> None:
    screen.show(ATTEMPT, *(Event(Phase.FETCHING, f"Receiving {number}%\r") for number in range(100)))
    assert "Receiving 99%" in screen.text
    assert "Receiving 98%" not in screen.text
    screen.view.close(succeeded=True)


def test_pushed_layers_have_a_bar(screen: Screen) -> None:
    half = {"a": LayerProgress(50, 100), "b": LayerProgress(50, 100)}
    screen.show(ATTEMPT, Event(Phase.PUSHING, "Pushing image\n", progress=half))
    assert re.search("pushing +0s +━{10,}", screen.text)
    assert "Pushing image" not in screen.text
    screen.view.close(succeeded=True)


def test_a_success_ends_as_one_line(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    screen.show(ATTEMPT, Event(Phase.LAUNCHING, "Launching\n"), Verifying(), Verifying("auto"), Verified())
    assert screen.view._live is None
    summary = screen.text.rstrip().splitlines()[-1]
    assert re.search(r"main on https://hub\.example\.org: waiting \d+s, launching \d+s, warming \d+s$", summary)


def test_a_failure_leaves_the_end_of_the_log_on_the_screen(screen: Screen) -> None:
    screen.show(ATTEMPT, *(Event(Phase.BUILDING, f"line {number}\n") for number in range(50)))
    before = len(screen.text)
    screen.view.close(succeeded=False)
    left = screen.text[before:]
    assert "line 49" in left
    assert "line 30" in left
    assert "line 29" not in left


def test_text_from_a_hub_is_neither_markup_nor_a_control_sequence(screen: Screen) -> None:
    screen.show(ATTEMPT, Event(Phase.BUILDING, "[red]bold[/red] \x1b]0;title\x07\x1b[2J\x1b[31mplain :smile:\n"))
    assert "[red]bold[/red] plain :smile:" in screen.text
    assert "\x1b]0;" not in screen.file.getvalue()
    assert "\x1b[2J" not in screen.file.getvalue()
    screen.view.close(succeeded=True)


def test_a_second_attempt_starts_a_new_view(screen: Screen) -> None:
    screen.show(ATTEMPT, Event(Phase.BUILDING, "old\n"))
    screen.show(Attempt("https://hub.example.org", SPEC, 2, 3), Event(Phase.WAITING, "new\n"))
    assert "(attempt 2 of 3)" in screen.text
    screen.view.close(succeeded=True)


def test_messages_are_printed_above_the_view(screen: Screen) -> None:
    screen.show(ATTEMPT, Message("stopping the old one"))
    assert "stopping the old one" in screen.text
    screen.view.close(succeeded=True)
    assert screen.file.getvalue().count("\x1b[?25h") == 1, "the cursor is shown again"


def test_a_line_without_end_is_kept_and_shown_in_part(screen: Screen) -> None:
    screen.show(ATTEMPT, *(Event(Phase.BUILDING, "x" * 1_000_000 + "the end\n") for _ in range(30)))
    assert sum(map(len, screen.view._log)) < 50_000
    screen.view.close(succeeded=False)
    assert "the end" in screen.text
    assert len(screen.text) < 100_000


@pytest.mark.parametrize("size", [0, -5, 10**4000])
def test_absurd_sizes_of_layers_do_no_harm(screen: Screen, size: int) -> None:
    layers = {f"{number}": LayerProgress(size, size + number) for number in range(3)}
    screen.show(ATTEMPT, Event(Phase.PUSHING, "", progress=layers))
    screen.view.close(succeeded=True)
