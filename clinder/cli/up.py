"""`clinder up`."""

from __future__ import annotations

from typing import Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.config.settings import setting_keys
from clinder.operations.inspect import UpOptions
from clinder.operations.lifecycle import up as bring_up
from clinder.output.documents import up_document
from clinder.output.result import Result
from clinder.output.text import describe_origin

RefCheckOption = Annotated[
    bool,
    typer.Option("--ref-check", help="Ask the repository whether the ref has moved on since the session was built."),
]
LatestOption = Annotated[
    bool, typer.Option("--latest", help="Replace the session if the ref has moved on (implies --ref-check).")
]


@command("up", progress=True, settings=tuple(setting_keys()))
def up(
    invocation: Invocation,
    replace: Annotated[
        bool, typer.Option("--replace", help="Launch anew, even if the session runs as declared or is out of reach.")
    ] = False,
    ref_check: RefCheckOption = False,
    latest: LatestOption = False,
) -> Result:
    """Make the declared session run: keep it if it does, else launch or replace it. Prints its URL."""
    config = invocation.load_config()
    with invocation.context(config) as context:
        result = bring_up(config, context, UpOptions(replace, ref_check, latest))
    return Result(
        up_document(result),
        text=result.session.url,
        messages=(f"{result.action.value}: {describe_origin(result.session)} ({result.cause})",),
    )
