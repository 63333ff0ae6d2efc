"""`clinder up`."""

from __future__ import annotations

from typing import Annotated

import typer

from clinder.cli.command import LAUNCH_SETTINGS, Invocation, command
from clinder.operations.inspect import UpOptions
from clinder.operations.lifecycle import up as bring_up
from clinder.output.documents import up_document
from clinder.output.result import Result
from clinder.output.text import describe_origin

RefCheckOption = Annotated[
    bool,
    typer.Option("--ref-check", help="Check whether the ref has moved since the launch."),
]
LatestOption = Annotated[
    bool, typer.Option("--latest", help="Replace the session if the ref has moved (implies --ref-check).")
]


@command("up", progress=True, settings=LAUNCH_SETTINGS)
def up(
    invocation: Invocation,
    replace: Annotated[
        bool, typer.Option("--replace", help="Launch a new session even if one is running or unreachable.")
    ] = False,
    ref_check: RefCheckOption = False,
    latest: LatestOption = False,
) -> Result:
    """Ensure that the declared session is running.

    Keeps the recorded session if it is running as declared; otherwise launches one, or replaces it. Prints its URL.
    """
    config = invocation.load_config()
    with invocation.context(config) as context:
        result = bring_up(config, context, UpOptions(replace, ref_check, latest))
    return Result(
        up_document(result),
        text=result.session.url,
        messages=(f"{result.action.value}: {describe_origin(result.session)} ({result.cause})",),
    )
