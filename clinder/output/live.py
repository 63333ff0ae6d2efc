"""Progress on a terminal: a live view on stderr that ends as a one-line summary.

Text from a hub is cleaned and put into `rich.text.Text` objects, never into markup.
"""

from __future__ import annotations

from collections import deque
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from clinder.model.duration import format_duration
from clinder.model.events import Attempt, BatchEnd, Event, LayerProgress, Phase, Verified, Verifying
from clinder.model.phases import PhaseClock
from clinder.model.wording import bounded
from clinder.output.clean import clean, is_passing
from clinder.output.plain import describe
from clinder.output.result import detach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from clinder.model.events import Progress

_LOG_LINES = 8
_FAILURE_LINES = 20
_MOST_OF_A_LINE = 1000
_REFRESHES_PER_S = 8
_SHORTEST_SHOWN_S = 0.1


class _Screen:
    """A stream that writes to another one until that fails: a closed terminal must not end the launch.

    The view also writes from its own thread, and rich lets every error through.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.is_gone = False

    def write(self, text: str) -> int:
        """Write, ignoring that the terminal is gone."""
        try:
            return self._file.write(text)
        except OSError:
            self._detach()
        return len(text)

    def flush(self) -> None:
        """Flush, ignoring that the terminal is gone."""
        try:
            self._file.flush()
        except OSError:
            self._detach()

    def _detach(self) -> None:
        self.is_gone = True
        detach(cast("TextIO", self._file))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class LiveProgress:
    """A listener that shows phases, their times, pushed layers and the last lines of the log.

    When its terminal is closed, it shows nothing more; the launch continues.

    Args:
        verbose: show more detail.
        console: the console to show it on; stderr by default.
    """

    def __init__(self, *, verbose: bool = False, console: Console | None = None) -> None:
        self._verbose = verbose
        self._console = console or Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._screen = _Screen(self._console.file)
        self._console.file = cast("IO[str]", self._screen)
        self._title = ""
        self._clock = PhaseClock()
        self._layers: Mapping[str, LayerProgress] = {}
        self._log: deque[str] = deque(maxlen=_FAILURE_LINES)
        self._is_passing = False
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    def __call__(self, item: Event | Progress) -> None:
        """Update the view with an item."""
        self._clock(item)
        if self._screen.is_gone:
            self._end_view()
        elif isinstance(item, Event):
            self._event(item)
        elif isinstance(item, Attempt):
            self._end_view()
            self._title = describe(item, verbose=self._verbose) or ""
            self._layers = {}
            self._log.clear()
            self._live = Live(
                console=self._console,
                transient=True,
                refresh_per_second=_REFRESHES_PER_S,
                get_renderable=self._view,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        elif isinstance(item, Verified):
            self.close(succeeded=True)
        elif not isinstance(item, BatchEnd | Verifying) and (line := describe(item, verbose=self._verbose)) is not None:
            self._console.print(Text(line))

    def _event(self, event: Event) -> None:
        self._layers = event.progress or self._layers
        if event.message and not event.progress:
            if self._is_passing and self._log:
                self._log.pop()
            lines = clean(event.message).split("\n")[-_FAILURE_LINES:]
            self._log.extend(bounded(line, _MOST_OF_A_LINE) for line in lines if line.strip())
            self._is_passing = is_passing(event.message)

    def _view(self) -> RenderableType:
        phases = Table.grid(padding=(0, 2))
        for phase, seconds in self._clock.times().items():
            is_current = phase == self._clock.phase
            mark: RenderableType = self._spinner if is_current else Text("✓", style="green")
            took = Text(format_duration(seconds), style="dim", justify="right")
            phases.add_row(mark, Text(phase, style="bold" if is_current else ""), took, self._bar(phase))
        lines = list(self._log)[-_LOG_LINES:]
        log = [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
        return Group(Text(self._title, style="bold"), phases, *log)

    def _bar(self, phase: str) -> RenderableType:
        if phase != Phase.PUSHING.value or not self._layers:
            return Text()
        total = sum(layer.total for layer in self._layers.values())
        done = sum(layer.current for layer in self._layers.values())
        return ProgressBar(total=total, completed=done, width=30)

    def _end_view(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def close(self, *, succeeded: bool) -> None:
        """End the view with one line of phase times, and after a failure with the end of the log before it."""
        if self._live is None:
            return
        self._end_view()
        if not succeeded:
            for line in self._log:
                self._console.print(Text(f"  {line}", style="dim"))
        times = [
            f"{phase} {format_duration(seconds)}"
            for phase, seconds in self._clock.times().items()
            if seconds >= _SHORTEST_SHOWN_S
        ]
        self._console.print(Text(f"{self._title}: {', '.join(times)}", style="dim"), soft_wrap=True)
