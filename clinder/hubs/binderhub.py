"""A BinderHub over HTTP: its event stream for a launch, and what it says of itself.

The stream's ways are measured ones: each GET launches, every answer of the hub itself is a 200, `Accept` must be
exact, a proxy before the hub answers with plain HTTP errors, and a page of HTML means that the path was not known.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import urllib3

from clinder.hubs.event_stream import EventStream
from clinder.hubs.http_body import read_as_it_comes
from clinder.hubs.sse import EventDecoder, EventTooLargeError
from clinder.model.errors import (
    HubError,
    LaunchRetryError,
    RateLimitedError,
    RefusedError,
    UnreachableError,
)
from clinder.model.events import Event, RateLimit, read_events
from clinder.net.http import ask, new_client, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from clinder.model.repository import RepositorySpec

_MOST_REDIRECTS = 5
_MOST_DIGITS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_UNWELL = (502, 503, 504)
_MORE_SILENCE_S = 5.0
"""By how much a blocked read outlasts the longest silence: who waits for the events gives up first, and says why."""


@dataclass(frozen=True, slots=True)
class HubReport:
    """What a hub says of itself.

    Attributes:
        is_binderhub: whether `/versions` answers as a BinderHub does.
        healthy: whether `/health` says so.
        versions: the answer of `/versions`.
        checks: the checks of `/health`, each with `service` and `ok`.
        providers: the ids of the repository providers, empty where the hub does not tell.
        rate_limit: how many launches are left, where the hub tells (most tell only when they launch).
        problem: what is wrong, in one sentence; empty if nothing is.
    """

    is_binderhub: bool
    healthy: bool
    versions: dict[str, Any]
    checks: list[dict[str, Any]]
    providers: list[str]
    rate_limit: RateLimit | None
    problem: str


class BinderHub:
    """A BinderHub at a URL.

    Args:
        url: as declared, without a trailing slash.
        connect_s: how long each request may take to its first byte, in seconds.
        silence_s: the longest gap in the build stream, in seconds.
        build_token: goes into the request where the hub asks for one; never into a message.
    """

    continues_after_disconnect = True

    def __init__(self, url: str, *, connect_s: float, silence_s: float = 90.0, build_token: str | None = None) -> None:
        self.url = url
        self.rate_limit: RateLimit | None = None
        self._connect_s = connect_s
        self._longest_read_s = max(connect_s, silence_s) + _MORE_SILENCE_S
        self._build_token = build_token
        self._response: requests.Response | None = None

    def launch(self, spec: RepositorySpec) -> EventStream:
        """Ask for a launch and hear of it; nothing is sent before the stream is entered."""
        return EventStream(lambda stream: self._read(spec, stream), close=self._hang_up)

    def _read(self, spec: RepositorySpec, stream: EventStream) -> Iterator[list[Event]]:
        decoder = EventDecoder()
        with new_client() as client, translated(self.url), self._request(client, spec) as response:
            self._response = response
            self._check(response)
            yield []
            for piece in read_as_it_comes(response.raw):
                if stream.is_closed:
                    return
                try:
                    yield read_events(decoder.feed(piece))
                except EventTooLargeError as error:
                    raise HubError(f"{self.url}: {error}", hint="This is a fault of the hub.") from None
                except ValueError as error:
                    raise HubError(
                        f"{self.url} sent an event that cannot be read: {error}", hint="This is a fault of the hub."
                    ) from None

    def _request(self, client: requests.Session, spec: RepositorySpec) -> requests.Response:
        """Send the request, along redirects: a federation's front answers 307, with a cookie for that path."""
        url = f"{self.url}/build/{spec.build_path}"
        params = {"build_token": self._build_token} if self._build_token else None
        for _ in range(_MOST_REDIRECTS + 1):
            response = client.get(
                url,
                params=params,
                headers={"Accept": "text/event-stream"},
                stream=True,
                allow_redirects=False,
                timeout=(self._connect_s, self._longest_read_s),
            )
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            following = urljoin(url, response.headers["Location"])
            if urlsplit(following).scheme not in ("http", "https"):
                raise HubError(f"{self.url} redirects to something that is no web address")
            url, params = following, None  # the build token is for the hub that was named, not for where it sends us
        raise HubError(f"{self.url} redirects again and again", hint="This is a fault of the hub.")

    def _check(self, response: requests.Response) -> None:
        """See that the answer is an event stream.

        Raises:
            ClinderError: of the kind that the HTTP status, or the lack of a stream, stands for.
        """
        self.rate_limit = self._rate_limit(response) or self.rate_limit
        status = response.status_code
        if status == 429:  # noqa: PLR2004
            raise RateLimitedError(
                f"{self.url} takes no more launches for now (HTTP 429)",
                retry_after_s=_retry_after_s(response),
                hint="Wait, or name another hub.",
            )
        if status in (401, 403):
            raise RefusedError(f"{self.url} refuses the launch (HTTP {status})")
        if status >= 500:  # noqa: PLR2004
            error = UnreachableError if status in _UNWELL else LaunchRetryError
            unwell = error(f"{self.url} is unwell (HTTP {status})", hint="`clinder hub check` says more.")
            unwell.retry_after_s = _retry_after_s(response)
            raise unwell
        content_type = response.headers.get("Content-Type", "")
        if status != 200 or content_type.partition(";")[0].strip() != "text/event-stream":  # noqa: PLR2004
            raise HubError(
                f"{self.url} answered with HTTP {status} and {content_type or 'no content type'}, not with an event "
                "stream",
                hint="Is this the URL of a BinderHub? `clinder hub check` says more.",
            )

    def _hang_up(self) -> None:
        """Cut the connection under a read that may be blocked; closing the response itself would wait for it."""
        if self._response is None:
            return
        with contextlib.suppress(OSError, ValueError, AttributeError, urllib3.exceptions.HTTPError):
            connection = socket.fromfd(self._response.raw.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            with connection:
                connection.shutdown(socket.SHUT_RDWR)

    def health_problem(self) -> str:
        """Say in a few words what its `/health` finds wrong; empty if nothing, or if it does not tell.

        Raises:
            UnreachableError: it does not answer at all.
        """
        with new_client() as client:
            health, response = self._json(client, "/health")
        if response.status_code == 429:  # noqa: PLR2004
            return "it takes no more requests for now (HTTP 429)"
        if response.status_code not in _UNWELL:
            return ""
        failing = _failing(health)
        return f"it is unwell (HTTP {response.status_code})" + (f": {', '.join(failing)}" if failing else "")

    def report(self) -> HubReport:
        """Ask the hub what it is and how it is.

        Raises:
            UnreachableError: it does not answer at all.
        """
        with new_client(follows_redirects=True) as client:
            versions, response = self._json(client, "/versions")
            is_binderhub = isinstance(versions, dict) and "binderhub" in versions
            health, _ = self._json(client, "/health") if is_binderhub else (None, None)
            listed, _ = self._json(client, "/api/repoproviders") if is_binderhub else (None, None)
        health = health if isinstance(health, dict) else {}
        checks, failing = _checks(health), _failing(health)
        problem = ""
        if not is_binderhub:
            problem = f"{self.url} is not a BinderHub: /versions answers HTTP {response.status_code} without one"
        elif not health.get("ok"):
            problem = f"{self.url} is unwell" + (f": {', '.join(failing)}" if failing else "")
        return HubReport(
            is_binderhub=is_binderhub,
            healthy=health.get("ok") is True,
            versions=versions if is_binderhub else {},
            checks=checks,
            providers=[str(entry["id"]) for entry in _list(listed) if isinstance(entry, dict) and _is_offered(entry)],
            rate_limit=self._rate_limit(response),
            problem=problem,
        )

    def _rate_limit(self, response: requests.Response) -> RateLimit | None:
        values = [response.headers.get(f"X-Ratelimit-{name}", "") for name in ("Remaining", "Limit", "Reset")]
        if not all(value.isdecimal() and len(value) <= _MOST_DIGITS for value in values):
            return None
        remaining, limit, reset_at = map(int, values)
        return RateLimit(self.url, remaining, limit, reset_at)

    def _json(self, client: requests.Session, path: str) -> tuple[Any, requests.Response]:
        headers = {"Accept": "application/json"}
        response, document = ask(
            client, "GET", self.url + path, who=self.url, timeout_s=self._connect_s, headers=headers
        )
        return document, response


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _checks(health: object) -> list[dict[str, Any]]:
    listed = _list(health.get("checks")) if isinstance(health, dict) else []
    return [check for check in listed if isinstance(check, dict)]


def _failing(health: object) -> list[str]:
    return [
        str(check.get("service")) for check in _checks(health) if not (check.get("ok") or check.get("_ignore_failure"))
    ]


def _is_offered(provider: dict[str, Any]) -> bool:
    return bool(provider.get("id")) and provider.get("enabled", True) is not False


def _retry_after_s(response: requests.Response) -> float | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal() and value.isascii() and len(value) <= _MOST_DIGITS:
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
