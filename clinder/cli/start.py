"""`clinder start`."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import LAUNCH_SETTINGS, Invocation, command
from clinder.model.errors import ClinderError
from clinder.operations.handover import hand_over
from clinder.operations.oneshot import start as launch
from clinder.operations.oneshot import stop
from clinder.output.documents import start_document
from clinder.output.result import FORMAT_VERSION, Result
from clinder.output.shells import Shell, set_variables
from clinder.output.text import describe_origin
from clinder.run.environment import session_variables

if TYPE_CHECKING:
    from clinder.config.loading import Config
    from clinder.model.session import Session


class Format(StrEnum):
    """The output formats of `start`."""

    URI = "uri"
    JSON = "json"
    ENV = "env"


@command("start", progress=True, state=False, settings=LAUNCH_SETTINGS)
def start(
    invocation: Invocation,
    repository: Annotated[str | None, typer.Argument(metavar="REPO", help="Repository, as for --repo.")] = None,
    format: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.URI,
) -> Result:
    """Launch a session and print its URI, without any files.

    Nothing is recorded, and no clinder.toml is read unless --config names one. `clinder stop URI` stops the session.
    """
    config = invocation.load_config(discover_file=False, settings={"repo": repository} if repository else None)
    with invocation.context(None) as context:
        session = launch(config, context)
    result = Result(
        start_document(session),
        text=_text(session, format),
        messages=(f"launched: {describe_origin(session)}",),
        on_write_failure=partial(_stop_unprinted, invocation, config, session),
        on_printed=partial(hand_over, session),
    )
    if format is Format.JSON and not invocation.as_json:
        return replace(result, text=json.dumps({"format_version": FORMAT_VERSION, **result.document}, indent=2))
    return result


def _stop_unprinted(invocation: Invocation, config: Config, session: Session) -> None:
    """Stop a session whose URI could not be printed."""
    try:
        with invocation.context(None) as context:
            stop(session, config, context)
    except ClinderError as error:
        error.session = session
        raise


def _text(session: Session, format: Format) -> str:
    if format is Format.ENV:
        return set_variables(session_variables(session), Shell.SH)
    return session.uri
