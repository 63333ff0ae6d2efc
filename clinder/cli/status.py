"""`clinder status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import Invocation, command, read_interval_s
from clinder.operations.inspect import status as read_status
from clinder.output.documents import status_document
from clinder.output.result import Result, show
from clinder.output.text import status_text
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from clinder.operations.inspect import StatusResult

DRIFT_STATUS = 10
_STATUSES = {"running": 0, "gone": 6, "none": 6, "unreachable": 8}


@command("status", settings=("hub", "repo", "ref", "timeouts.connect"))
def status(
    invocation: Invocation,
    show_token: Annotated[bool, typer.Option("--show-token", help="Include token and URI in the JSON.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with status {DRIFT_STATUS} if the session has drifted.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Repeat until the session is gone; with --json, one line each."),
    ] = False,
    every: Annotated[str, typer.Option(metavar="TIME", help="Interval of --watch.")] = "5s",
) -> Result:
    """Show whether the recorded session is running as declared."""
    pause_s = read_interval_s("--every", every)
    config = invocation.load_config()
    result = read_status(config)
    if watch:
        with Interrupts().installed() as interrupts:
            while result.seen and result.seen.condition.value != "gone":
                current = _result(result, show_token, exit_code, json_lines=True)
                if not show(current, as_json=invocation.as_json, quiet=True):
                    break
                interrupts.sleep(pause_s)
                result = read_status(config)
    return _result(result, show_token, exit_code, json_lines=watch)


def _result(result: StatusResult, show_token: bool, exit_code: bool, *, json_lines: bool) -> Result:
    exit_status = _STATUSES[result.seen.condition.value if result.seen else "none"]
    if exit_status == 0 and exit_code and result.drift:
        exit_status = DRIFT_STATUS
    return Result(
        status_document(result, with_token=show_token),
        text=status_text(result),
        messages=_next_steps(result),
        exit_status=exit_status,
        json_lines=json_lines,
    )


def _next_steps(result: StatusResult) -> tuple[str, ...]:
    if result.session is None:
        return ("`clinder up` launches a session.",)
    if result.drift:
        return ("`clinder up` replaces the session.",)
    return ()
