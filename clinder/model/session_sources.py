"""Functions that make a session from a hub's `ready` event, a URI, or the JSON of `start` and `up`."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from clinder.model.errors import LaunchError, UsageError
from clinder.model.records import read_record
from clinder.model.repository import RepositorySpec
from clinder.model.session import MAX_LENGTH, PhaseTime, Session, check_token, check_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clinder.model.events import Event

_USER_INTERFACE = re.compile(r"(?<!/user)/(lab|tree|notebooks|doc|retro|voila|rstudio|desktop)(/.*)?$")
"""The path of a user interface, as in a browser's address bar; after `/user`, such a word is the name of a user."""


def session_from_ready(
    event: Event, *, hub: str, spec: RepositorySpec, launched_at: datetime, phases: Sequence[PhaseTime]
) -> Session:
    """Make a session from a hub's `ready` event.

    Raises:
        LaunchError: the URL or the token is missing or invalid.
    """
    details = event.details
    try:
        url, token = check_url(details.get("url")), check_token(details.get("token"))
    except ValueError as error:
        raise LaunchError(
            f"the hub reported ready, but its session cannot be used: {error}",
            hint="This is a bug in the hub: report it to its operators.",
        ) from error
    return Session(
        url=url,
        token=token,
        hub=hub,
        provider=spec.provider,
        repo=spec.repo,
        ref=spec.ref,
        resolved_ref=_resolved_ref(details.get("binder_persistent_request")),
        ref_url=_printable(details.get("binder_ref_url")),
        image=_printable(event.image),
        launched_at=launched_at,
        ready_at=datetime.now(UTC),
        phases=tuple(phases),
    )


def session_spec(session: Session) -> RepositorySpec | None:
    """Get the repository spec of a session; `None` if clinder did not launch it."""
    return RepositorySpec(session.provider, session.repo, session.ref) if session.provider else None


def _resolved_ref(persistent_request: object) -> str:
    """Extract the commit from `v2/gh/org/repo/<sha>`, or the resolved DOI."""
    path = _printable(persistent_request).removeprefix("v2/")
    try:
        resolved = RepositorySpec.from_build_path(path)
    except UsageError:  # a folder, or an unknown provider
        return ""
    return resolved.ref or resolved.repo


def _printable(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_LENGTH and value.isprintable() else ""


def session_from_uri(uri: str) -> Session:
    """Parse the URI of a session: its URL with `?token=`. The path of a user interface (`lab/…`) is removed.

    Raises:
        UsageError: the text is not such a URI. The message does not contain the token.
    """
    hint = "The URI of a session looks like https://host/user/name/?token=…; `clinder start` prints it."
    try:
        parts = urlsplit(uri.strip())
        tokens = parse_qs(parts.query).get("token", [])
        path = _USER_INTERFACE.sub("", parts.path)
        url = check_url(urlunsplit(parts._replace(query="", fragment="", path=path)))
        return Session(url=url, token=check_token(tokens[0] if tokens else ""))
    except ValueError as error:
        raise UsageError(f"this is not the URI of a session: {error}", hint=hint) from None


def session_from_document(document: Mapping[str, Any]) -> Session:
    """Make a session from the JSON object that `start --json` and `up --json` print.

    Raises:
        UsageError: its `uri` is not the URI of a session.
        ValueError, KeyError: it is not such an object.
    """
    session = session_from_uri(document["uri"])
    known = {field.name: document[field.name] for field in fields(Session) if field.name in document}
    return read_record(Session, {**known, "url": session.url, "token": session.token})
