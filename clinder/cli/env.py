"""`clinder env`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.github_action.commands import mask_commands
from clinder.output.result import Result, print_stderr
from clinder.output.shells import Shell, how_to, set_variables, unset_variables
from clinder.run.environment import (
    BASE_URL_VARIABLE,
    TOKEN_VARIABLE,
    recorded_session,
    running_session,
    session_variables,
)

if TYPE_CHECKING:
    from clinder.model.session import Session


@command("env", json=False)
def env(
    invocation: Invocation,
    shell: Annotated[Shell, typer.Option("--shell", help="Output format.")] = Shell.SH,
    unset: Annotated[bool, typer.Option("--unset", help="Print commands that unset the variables.")] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check that the session is running.")] = True,
) -> Result:
    """Print the session's URL and token for a shell or a tool.

    The variables are JUPYTER_BASE_URL and JUPYTER_TOKEN of the recorded session.
    """
    if unset:
        text = unset_variables([BASE_URL_VARIABLE, TOKEN_VARIABLE], shell)
        hint = "--unset "
    else:
        session = _checked(invocation) if check else _recorded(invocation)
        if shell is Shell.GITHUB:
            print_stderr("\n".join(mask_commands(session.token)))
        text = set_variables(session_variables(session), shell)
        hint = ""
    usage = how_to(
        shell, f"clinder env {hint}--shell {shell.value}" if shell is not Shell.SH else f"clinder env {hint}".strip()
    )
    return Result({}, text=text, messages=(usage,) if usage and sys.stdout.isatty() else ())


def _recorded(invocation: Invocation) -> Session:
    return recorded_session(invocation.state_folder())


def _checked(invocation: Invocation) -> Session:
    return running_session(invocation.load_config())
