"""`clinder down`."""

from __future__ import annotations

from clinder.cli.command import Invocation, command
from clinder.operations.lifecycle import down as bring_down
from clinder.output.documents import down_document
from clinder.output.result import Result


@command("down", progress=True, settings=("timeouts.connect", "timeouts.stop"))
def down(invocation: Invocation) -> Result:
    """Stop the recorded session.

    Waits until the session is confirmed stopped, then removes it from the state.
    """
    config = invocation.load_config(needs_file=False)
    with invocation.context(config) as context:
        result = bring_down(config, context)
    url = f": {result.session.url}" if result.session else ""
    return Result(down_document(result), messages=(f"{result.action.value}{url}",))
