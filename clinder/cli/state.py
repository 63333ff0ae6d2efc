"""`clinder state show`, `forget` and `adopt`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.cli.uri import UriArgument, read_session
from clinder.model.errors import UsageError
from clinder.operations.lifecycle import adopt as record_session
from clinder.operations.lifecycle import forget as remove_sessions
from clinder.output.documents import state_document
from clinder.output.result import Result
from clinder.output.text import describe_origin, state_text


@command("show")
def show(
    invocation: Invocation,
    show_token: Annotated[bool, typer.Option("--show-token", help="Include the tokens and URIs in the JSON.")] = False,
) -> Result:
    """Show the recorded state, without contacting any hub."""
    state = invocation.state_folder().read()
    return Result(state_document(state, with_token=show_token), text=state_text(state))


@command("forget", json=False, progress=True)
def forget(
    invocation: Invocation,
    url: Annotated[str | None, typer.Argument(metavar="URL", help="Session to remove [default: all].")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> Result:
    """Remove sessions from the state without stopping them.

    Prints the URI of each: nothing else can stop the session.
    """
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(
                "forgetting a session loses its token", hint="Use --yes to forget it without confirmation."
            )
        if not typer.confirm(f"Forget {url or 'all recorded sessions'} without stopping?", err=True):
            return Result({}, messages=("nothing was forgotten",))
    config = invocation.load_config(needs_file=False)
    with invocation.context(config) as context:
        forgotten = remove_sessions(config, context, url)
    return Result({}, text="\n".join(session.uri for session in forgotten), messages=(f"forgotten: {len(forgotten)}",))


@command("adopt", json=False, progress=True, settings=("hub", "repo", "ref", "timeouts.connect"))
def adopt(invocation: Invocation, uri: UriArgument = None) -> Result:
    """Record a session that was started elsewhere.

    It is treated as launched from what clinder.toml declares.
    """
    session = read_session(uri)
    config = invocation.load_config()
    with invocation.context(config) as context:
        session = record_session(config, context, session)
    return Result({}, text=session.url, messages=(f"adopted: {describe_origin(session)}",))
