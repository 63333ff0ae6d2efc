"""`clinder plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.cli.up import LatestOption, RefCheckOption
from clinder.operations.inspect import UpOptions, preview
from clinder.output.documents import plan_document
from clinder.output.result import Result
from clinder.output.text import plan_text

CHANGES_STATUS = 10


@command("plan", settings=("hub", "repo", "ref", "timeouts.connect"))
def plan(
    invocation: Invocation,
    replace: Annotated[bool, typer.Option("--replace", help="Plan for `up --replace`.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with status {CHANGES_STATUS} if anything would change.")
    ] = False,
    ref_check: RefCheckOption = False,
    latest: LatestOption = False,
) -> Result:
    """Show what `up` would do, without doing it."""
    decided = preview(invocation.load_config(), UpOptions(replace, ref_check, latest))
    return Result(
        plan_document(decided),
        text=plan_text(decided),
        exit_status=CHANGES_STATUS if exit_code and decided.changes else 0,
    )
