"""`clinder logs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import Invocation, command, read_path
from clinder.model.errors import UsageError
from clinder.model.wording import os_hint, os_reason
from clinder.output.documents import launch_document
from clinder.output.launches import LogReader, medians, past_launches, read_log
from clinder.output.result import Result
from clinder.output.timeline import timeline_svg, timeline_text
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from clinder.output.launches import PastLaunch
    from clinder.state import StateFolder

_FOLLOW_S = 0.2


@command("logs")
def logs(
    invocation: Invocation,
    launch: Annotated[
        int, typer.Argument(min=0, metavar="N", help="Launch to show: 0 is the latest, 1 the one before, …")
    ] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the launch ends.")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="Show how long each phase took.")] = False,
    svg: Annotated[str | None, typer.Option(metavar="FILE", help="Write the timeline as an SVG file.")] = None,
) -> Result:
    """Show the hub's log of a launch, or where its time went."""
    state = invocation.state_folder()
    launches = past_launches(state.logs)
    if launch >= len(launches):
        raise UsageError(
            f"there are {len(launches)} logs in {state.logs.path}"
            if launches
            else f"there is no log in {state.logs.path}",
            hint="`clinder up` writes a log of each launch.",
        )
    chosen = launches[launch]
    usual = medians(chosen, launches)
    if picture := read_path("--svg", svg):
        _write(picture, timeline_svg(chosen, usual))
    if follow and invocation.as_json:
        raise UsageError("--follow cannot be combined with --json", hint="Omit one of them.")
    if follow:
        _follow(chosen, state)
        return Result({})
    log = read_log(chosen) if invocation.as_json or not (timeline or svg) else ""
    text = timeline_text(chosen, usual) if timeline else log
    return Result(launch_document(chosen, usual, log), text=text, messages=(f"written: {svg}",) if svg else ())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {os_reason(error)}", hint=os_hint(error)) from error


def _follow(launch: PastLaunch, state: StateFolder) -> None:
    """Print the log as it grows, until the launch is over: its JSON file exists, or its lock is released."""
    with Interrupts().installed() as interrupts, LogReader(launch) as log:
        while True:
            has_ended = log.has_ended() or not state.is_locked()
            for text in log.lines(is_all=has_ended):
                sys.stdout.write(text)
                interrupts.check()
            sys.stdout.flush()
            if has_ended:
                return
            interrupts.sleep(_FOLLOW_S)
