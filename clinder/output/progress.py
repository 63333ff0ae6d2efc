"""Select how progress is shown (quiet, plain or live) and write the log of the launch."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Protocol

from clinder.model.display import show_path
from clinder.model.errors import ClinderError
from clinder.model.events import Event, Message
from clinder.output.clean import clean_value
from clinder.output.color import colored
from clinder.output.log import LaunchLog
from clinder.output.plain import PlainProgress, describe
from clinder.output.result import print_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clinder.model.events import Listener, Progress
    from clinder.system.folders import PrivateFolder


class ProgressDisplay(Protocol):
    """A listener that shows progress until it is closed."""

    def __call__(self, item: Event | Progress) -> None:
        """Show an item."""

    def close(self, *, succeeded: bool) -> None:
        """Show what is still buffered."""


class QuietProgress:
    """A listener that only shows warnings."""

    def __call__(self, item: Event | Progress) -> None:
        """Show a warning; ignore everything else."""
        if isinstance(item, Message) and item.warning:
            print_stderr(describe(item, verbose=False) or "")

    def close(self, *, succeeded: bool) -> None:
        """Do nothing: nothing is buffered."""


def shows_live() -> bool:
    """Whether stderr is a terminal that can show a live view."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def progress(*, quiet: bool, verbose: bool, logs: PrivateFolder | None) -> Iterator[Listener]:
    """Show progress while the block runs; after a failure, print the path of the log.

    Args:
        quiet: only show warnings.
        verbose: show more detail.
        logs: the folder for the log; `None` to write none.
    """
    display: ProgressDisplay
    if quiet:
        display = QuietProgress()
    elif shows_live():
        from clinder.output.live import LiveProgress  # imports rich

        display = LiveProgress(verbose=verbose)
    else:
        display = PlainProgress(verbose=verbose)
    log = None
    if logs is not None:
        log = LaunchLog(logs)

    def on_event(item: Event | Progress) -> None:
        display(item)
        if log is not None:
            log(item)

    outcome = "failed"
    try:
        yield on_event
        outcome = "succeeded"
    except ClinderError as error:
        outcome = error.kind
        raise
    finally:
        display.close(succeeded=outcome == "succeeded")
        if log is not None:
            log.close(outcome=outcome)
            if log.problem:
                warning = colored("warning:", "yellow", sys.stderr)
                print_stderr(f"{warning} the log of the launch cannot be written: {clean_value(log.problem)}")
            if log.path and outcome != "succeeded":
                print_stderr(f"log: {show_path(log.path)}")
