"""`clinder stop`."""

from __future__ import annotations

from clinder.cli.command import Invocation, command
from clinder.cli.uri import UriArgument, read_session
from clinder.operations.oneshot import stop as end
from clinder.output.documents import down_document
from clinder.output.result import Result


@command("stop", progress=True, config=False, state=False, settings=("timeouts.connect", "timeouts.stop"))
def stop(invocation: Invocation, uri: UriArgument = None) -> Result:
    """Stop a session by its URI.

    Waits until the session is confirmed stopped.
    """
    session = read_session(uri)
    config = invocation.load_config(discover_file=False)
    with invocation.context(None) as context:
        result = end(session, config, context)
    return Result(down_document(result), messages=(f"{result.action.value}: {session.url}",))
