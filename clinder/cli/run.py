"""`clinder run`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.config.settings import setting_keys
from clinder.output.result import Result


@command("run", json=False, progress=True, settings=tuple(setting_keys()), passes_arguments=True)
def run(
    invocation: Invocation,
    cmd: Annotated[list[str], typer.Argument(metavar="CMD", help="The command, after --, and its arguments.")],
    fresh: Annotated[bool, typer.Option("--fresh", help="Launch a new session, even if one runs as declared.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the session running at the end.")] = False,
    keep_alive: Annotated[
        bool, typer.Option("--keep-alive/--no-keep-alive", help="Keep the session from idling while CMD runs.")
    ] = True,
    retry: Annotated[
        int, typer.Option(min=0, max=100, help="How often to launch and run again when the session is lost.")
    ] = 0,
) -> Result:
    """Run a command with JUPYTER_BASE_URL and JUPYTER_TOKEN of a session, then stop the session.

    The session is the recorded one, if it runs as declared, and then stays; else one is launched, and stopped
    whatever ends the command. The exit status is the command's; 6 if its session was lost.
    """
    from clinder.run.runner import RunOptions
    from clinder.run.runner import run as run_under_session

    config = invocation.load_config()
    options = RunOptions(cmd, fresh=fresh, keep=keep, keeps_alive=keep_alive, retries=retry)
    status = run_under_session(config, options, context=partial(invocation.context, config))
    return Result({}, exit_status=status)
