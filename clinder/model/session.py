"""A session (its URL, its token and its origin), and the validation of URLs and tokens that hubs send.

A valid URL or token is safe in a request, a header, a shell command and a file: it has no special meaning there.
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
"""The maximum length of a URL, a token or any other value from a hub that is recorded with a session."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class PhaseTime:
    """The duration of one phase of the launch, in seconds."""

    phase: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Session:
    """A launched Jupyter Server. Its token is not part of `repr`.

    Attributes:
        url: the server's base URL, with one trailing slash.
        token: the token of the server; sent only to the origin of `url`.
        hub: the hub, as in the settings; empty if the session was not launched by clinder.
        provider: the id of the provider; empty if it is unknown, as are `repo` and `ref`.
        repo: the repository, in the provider's format.
        ref: the requested ref.
        resolved_ref: the commit or version that the hub resolved it to.
        ref_url: the URL of the repository at that commit.
        image: the name of the image.
        launched_at: when the launch was requested (UTC).
        ready_at: when the hub reported `ready` (UTC).
        phases: the durations of the phases of the launch, in order.
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
        """The URL with `?token=`. It is a secret: it gives full access to the session."""
        return f"{self.url}?token={quote(self.token, safe='')}"


def check_url(url: object) -> str:
    """Validate the URL of a server and normalize it to one trailing slash.

    Raises:
        ValueError: it is not http or https, has no host, or contains a user name, a query, or characters with a special
            meaning in a shell, a terminal or a header; or it is too long.
    """
    if not isinstance(url, str) or not url:
        raise ValueError("it has no URL")
    if len(url) > MAX_LENGTH:
        raise ValueError(f"its URL is longer than {MAX_LENGTH} characters")
    if _BAD_IN_URL.search(url):
        raise ValueError(f"its URL {_bare(url)!r} contains characters that are not allowed in a URL")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"its URL {_bare(url)!r} is not http or https with a host")
    if "@" in parts.netloc:
        raise ValueError("its URL contains a user name")
    if not _HOST.fullmatch(parts.hostname):
        raise ValueError(f"the host in its URL {_bare(url)!r} is not a name or an address")
    parts.port  # noqa: B018  # raises ValueError if it is not a number
    if parts.query or parts.fragment:
        raise ValueError(f"its URL {_bare(url)!r} contains a query")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/"))


def _bare(url: str) -> str:
    """Remove the parts of a URL that may be secret: user name, password and query."""
    return re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", url)[0])


def check_token(token: object) -> str:
    """Validate a token: printable ASCII, without spaces.

    Raises:
        ValueError: it is empty, not a string, too long or not printable. The message does not contain it.
    """
    if not isinstance(token, str) or not token:
        raise ValueError("it has no token")
    if len(token) > MAX_LENGTH:
        raise ValueError(f"its token is longer than {MAX_LENGTH} characters")
    if not _TOKEN.fullmatch(token):
        raise ValueError("its token contains unprintable characters")
    return token
