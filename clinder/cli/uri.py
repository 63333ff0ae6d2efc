"""Read a session's URI from an argument, or from stdin or the environment so that `ps` does not show it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.model.errors import UsageError
from clinder.model.session_sources import session_from_document, session_from_uri

if TYPE_CHECKING:
    from clinder.model.session import Session

UriArgument = Annotated[
    str | None,
    typer.Argument(metavar="URI", help="URI of the session, or - for stdin [default: CLINDER_SESSION]."),
]
_MOST_CHARACTERS = 65536


def read_session(uri: str | None) -> Session:
    """Read a session: from the argument, from stdin for `-`, else from `CLINDER_SESSION`; a URI or `start --json`.

    Raises:
        UsageError: none is given, or it is invalid.
    """
    text = sys.stdin.read(_MOST_CHARACTERS) if uri == "-" else uri or os.environ.get("CLINDER_SESSION", "")
    if not text.strip():
        raise UsageError(
            "no session given", hint="Pass its URI as an argument, on stdin with -, or in CLINDER_SESSION."
        )
    if not text.lstrip().startswith("{"):
        return session_from_uri(text)
    try:
        return session_from_document(json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("the input is not the JSON of a session", hint="`clinder start --json` prints it.") from None
