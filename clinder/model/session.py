"""A session: its URL, its token and what it was launched from, and the checks of what a hub gives as such.

A URL or token that passes can be put into a request, a header, a shell line or a file without doing anything else
there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  # read by its annotations, from the state
from urllib.parse import quote, urlsplit, urlunsplit

_BAD_IN_URL = re.compile(r"[^\x21-\x7e]|[\"'`<>\\^{|}$]")
_HOST = re.compile(r"[\w.:-]+", re.ASCII)
"""A name or an address; an escape (`%31`) would be read by some libraries and not by others."""
MAX_LENGTH = 4096
"""How many characters a URL, a token or any other value that a hub gives for a session may have: all are recorded."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


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


def check_url(url: object) -> str:
    """Check the URL of a server and give it one trailing slash.

    Raises:
        ValueError: it is not http or https, has no host, has a user name, a query, or characters that could
            mean something to a shell, a terminal or a header; or it is longer than any server takes.
    """
    if not isinstance(url, str) or not url:
        raise ValueError("it has no URL")
    if len(url) > MAX_LENGTH:
        raise ValueError(f"its URL is longer than {MAX_LENGTH} characters")
    if _BAD_IN_URL.search(url):
        raise ValueError(f"its URL {_bare(url)!r} holds characters that a URL must not hold")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"its URL {_bare(url)!r} is not http or https with a host")
    if "@" in parts.netloc:
        raise ValueError("its URL bears a user name")
    if not _HOST.fullmatch(parts.hostname):
        raise ValueError(f"its URL {_bare(url)!r} has a host that is no name and no address")
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
        ValueError: it is empty, no text, too long, or not printable; the message does not repeat it.
    """
    if not isinstance(token, str) or not token:
        raise ValueError("it has no token")
    if len(token) > MAX_LENGTH:
        raise ValueError(f"its token is longer than {MAX_LENGTH} characters")
    if not _TOKEN.fullmatch(token):
        raise ValueError("its token holds characters that cannot be printed")
    return token
