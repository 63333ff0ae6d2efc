"""`clinder open`."""

from __future__ import annotations

from typing import Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.config.settings import read_path
from clinder.model.errors import UsageError
from clinder.output.result import Result
from clinder.run.browser import open_link, session_link
from clinder.run.environment import running_session


@command("open", json=False)
def open_session(
    invocation: Invocation,
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="What to open: lab/tree/a.ipynb, rstudio, … [default: session.path]"),
    ] = None,
    print_link: Annotated[bool, typer.Option("--print", help="Only print the link, with the token.")] = False,
) -> Result:
    """Open the recorded session in a browser.

    Without a browser, prints the link.
    """
    config = invocation.load_config()
    try:
        target = config.settings.session.path if path is None else read_path(path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    session = running_session(config)
    link = session_link(session, target)
    if not print_link and open_link(link):
        return Result({}, messages=(f"opened {session.url}",))
    messages = () if print_link else ("No browser was found. Anyone with this link controls the session:",)
    return Result({}, text=link, messages=messages)
