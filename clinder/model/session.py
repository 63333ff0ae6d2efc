"""What comes of a launch: a session (URL, token, where from) and its URI form.

The checks here are the border to the hub: a URL or token that passes can be put into a request, a header, a
shell line or a file without doing anything else there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from clinder.model.errors import LaunchError, UsageError
from clinder.model.records import read_record
from clinder.model.repository import RepositorySpec, takes_ref

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clinder.model.events import Event

_BAD_IN_URL = re.compile(r"[^\x21-\x7e]|[\"'`<>\\^{|}$]")
_LONGEST = 4096
"""How many characters a URL, a token and what else a hub says of a session may have: all of it is recorded."""
_TOKEN = re.compile(r"[\x21-\x7e]+")
_USER_INTERFACE = re.compile(r"(?<!/user)/(lab|tree|notebooks|doc|retro|voila|rstudio|desktop)(/.*)?$")
"""What a browser's address adds to a server's URL; after `/user` such a word is the name of a JupyterHub's user."""


@dataclass(frozen=True, kw_only=True)
class PhaseTime:
    """How long one phase of the launch took, in seconds."""

    phase: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Session:
    """A running Jupyter Server, as far as its launch tells. Its token never shows in `repr`.

    Attributes:
        url: the server's base URL, ending in one slash.
        token: what the server asks for; goes nowhere but to the origin of `url`.
        hub: the hub that was asked, as declared; empty where the session was started elsewhere.
        provider: the repository spec's provider; empty where it is not known, as are the next two.
        repo: the repository, in the provider's own form.
        ref: the ref as asked for.
        resolved_ref: the commit (or version) that the hub resolved it to.
        ref_url: the web address of the repository at that commit.
        image: the name of the image.
        launched_at: when the request went out (UTC).
        ready_at: when the hub said `ready` (UTC).
        phases: what the launch spent its time on, in order.
    """

    url: str
    token: str = field(repr=False)
    hub: str = ""
    provider: str = ""
    repo: str = ""
    ref: str = ""
    resolved_ref: str = ""
    ref_url: str = ""
    image: str = ""
    launched_at: datetime | None = None
    ready_at: datetime | None = None
    phases: tuple[PhaseTime, ...] = ()

    @property
    def uri(self) -> str:
        """The URL with `?token=`: whoever has it, has the session."""
        return f"{self.url}?token={quote(self.token, safe='')}"

    @property
    def spec(self) -> RepositorySpec | None:
        """What the session was built from, where that is known."""
        return RepositorySpec(self.provider, self.repo, self.ref) if self.provider else None


def check_url(url: object) -> str:
    """Check the URL of a server and give it one trailing slash.

    Raises:
        ValueError: it is not http or https, has no host, bears a user name, a query, or characters that could
            mean something to a shell, a terminal or a header.
    """
    if not isinstance(url, str) or not url:
        raise ValueError("it has no URL")
    if len(url) > _LONGEST:
        raise ValueError(f"its URL is longer than {_LONGEST} characters")
    if _BAD_IN_URL.search(url):
        raise ValueError(f"its URL {_bare(url)!r} holds characters that a URL must not hold")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"its URL {_bare(url)!r} is not http or https with a host")
    if "@" in parts.netloc:
        raise ValueError("its URL bears a user name")
    parts.port  # noqa: B018  # raises ValueError where it is no number
    if parts.query or parts.fragment:
        raise ValueError(f"its URL {_bare(url)!r} bears a query")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/"))


def _bare(url: str) -> str:
    """Leave out of a URL what may be secret: a user's name and password, the query."""
    return re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", url)[0])


def check_token(token: object) -> str:
    """Check that a token is printable, without spaces.

    Raises:
        ValueError: it is empty, no text, or not printable; the message does not repeat it.
    """
    if not isinstance(token, str) or not token:
        raise ValueError("it has no token")
    if len(token) > _LONGEST:
        raise ValueError(f"its token is longer than {_LONGEST} characters")
    if not _TOKEN.fullmatch(token):
        raise ValueError("its token holds characters that cannot be printed")
    return token


def session_from_ready(
    event: Event, *, hub: str, spec: RepositorySpec, launched_at: datetime, phases: Sequence[PhaseTime]
) -> Session:
    """Make a session of a hub's `ready` event.

    Raises:
        LaunchError: URL or token are missing or not to be trusted.
    """
    details = event.details
    try:
        url, token = check_url(details.get("url")), check_token(details.get("token"))
    except ValueError as error:
        raise LaunchError(
            f"the hub said ready, but its session cannot be used: {error}",
            hint="This is a fault of the hub: tell those who run it.",
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


def _resolved_ref(persistent_request: object) -> str:
    """Take the commit out of `v2/gh/org/repo/<sha>`; for a DOI it is the resolved DOI."""
    path = _printable(persistent_request).removeprefix("v2/")
    try:
        resolved = RepositorySpec.from_build_path(path)
    except UsageError:  # a folder has no commit, an unknown provider no known form
        return ""
    return resolved.ref if takes_ref(resolved.provider) else resolved.repo


def _printable(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable() else ""


def session_from_uri(uri: str) -> Session:
    """Read a session from its URI form, the URL with `?token=`; what a browser's address adds (`lab/…`) is cut off.

    Raises:
        UsageError: the text is no such URI; the message does not repeat a token.
    """
    hint = "A session's URI looks like https://host/user/name/?token=…, as `clinder start` prints it."
    try:
        parts = urlsplit(uri.strip())
        tokens = parse_qs(parts.query).get("token", [])
        path = _USER_INTERFACE.sub("", parts.path)
        url = check_url(urlunsplit(parts._replace(query="", fragment="", path=path)))
        return Session(url=url, token=check_token(tokens[0] if tokens else ""))
    except ValueError as error:
        raise UsageError(f"this is not a session's URI: {error}", hint=hint) from None


def session_from_document(document: Mapping[str, Any]) -> Session:
    """Read a session from the JSON object that `start --json` and `up --json` print.

    Raises:
        UsageError: its `uri` is none.
        ValueError, KeyError: it is no such object.
    """
    session = session_from_uri(document["uri"])
    known = {field.name: document[field.name] for field in fields(Session) if field.name in document}
    return read_record(Session, {**known, "url": session.url, "token": session.token})
