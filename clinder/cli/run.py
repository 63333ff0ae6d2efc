"""`clinder run`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from clinder.cli.command import LAUNCH_SETTINGS, Invocation, command
from clinder.output.result import Result, print_stderr


@command("run", json=False, progress=True, settings=LAUNCH_SETTINGS, passes_arguments=True)
def run(
    invocation: Invocation,
    cmd: Annotated[list[str], typer.Argument(metavar="CMD", help="Command, after --, with its arguments.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Launch a new session even if one is running or unreachable.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", hidden=True)] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the session running afterwards.")] = False,
    keep_alive: Annotated[
        bool, typer.Option("--keep-alive/--no-keep-alive", help="Keep the session active while CMD runs.")
    ] = True,
    retry: Annotated[
        int,
        typer.Option(
            metavar="NUMBER", min=0, max=100, help="How often to launch and run again if the session is lost."
        ),
    ] = 0,
) -> Result:
    """Run a command with a session, and stop the session afterwards.

    The command gets JUPYTER_BASE_URL and JUPYTER_TOKEN. A recorded session that is running as declared is used and left
    running; otherwise one is launched, and stopped however the command ends. The exit status is the command's, or 6 if
    the session was lost.
    """
    from clinder.run import runner  # imports requests, which `clinder --help` must not wait for

    if fresh:
        print_stderr("warning: --fresh is deprecated: use --replace")
    config = invocation.load_config()
    options = runner.RunOptions(cmd, replace=replace or fresh, keep=keep, keeps_alive=keep_alive, retries=retry)
    status = runner.run(config, options, context=partial(invocation.context, config))
    return Result({}, exit_status=status)
