"""`clinder start`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.config.settings import setting_keys
from clinder.model.errors import ClinderError
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
    """How `start` prints the session."""

    URI = "uri"
    JSON = "json"
    ENV = "env"


_SETTINGS = tuple(key for key in setting_keys() if key != "session.path")


@command("start", progress=True, state=False, settings=_SETTINGS)
def start(
    invocation: Invocation,
    repository: Annotated[str | None, typer.Argument(metavar="REPO", help="The repository, as --repo.")] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print the session.")] = Format.URI,
) -> Result:
    """Launch a session without files: nothing is recorded, the session is printed with its token.

    No clinder.toml is read unless --config names one. `clinder stop` takes back what is printed here.
    """
    from dataclasses import replace
    from functools import partial

    config = invocation.load_config(discover_file=False, settings={"repo": repository} if repository else None)
    with invocation.context(None) as context:
        session = launch(config, context)
    result = Result(
        start_document(session),
        text=_text(session, format),
        messages=(f"launched: {describe_origin(session)}",),
        on_write_failure=partial(_take_back, invocation, config, session),
    )
    if format is Format.JSON and not invocation.as_json:
        import json

        return replace(result, text=json.dumps({"format_version": FORMAT_VERSION, **result.document}, indent=2))
    return result


def _take_back(invocation: Invocation, config: Config, session: Session) -> None:
    """Stop a session that nobody can be told of."""
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
