"""A BinderHub over HTTP: its event stream for a launch, and what it says of itself.

The stream's ways are measured ones: each GET launches, every answer of the hub itself is a 200, `Accept` must be
exact, a proxy before the hub answers with plain HTTP errors, and a page of HTML means that the path was not known.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clinder.hubs.event_stream import EventStream
from clinder.hubs.http_body import read_as_it_comes
from clinder.hubs.sse import EventDecoder, EventTooLargeError
from clinder.model.errors import (
    HubError,
    LaunchError,
    LaunchRetryError,
    RateLimitedError,
    RefusedError,
    UnreachableError,
)
from clinder.model.events import Event, RateLimit, read_events
from clinder.model.wording import because, bounded, listed, short_name
from clinder.net.connections import HUB_PROBLEM, Call
from clinder.net.http import ask, follow, new_client, spaces_of, translated
from clinder.net.loopback import REACHABLE, AddressSpace, host_of, leads_to_loopback, space_of_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import requests

    from clinder.model.repository import RepositorySpec

_MOST_DIGITS = 10
_MOST_STREAM_BYTES = 1024**3
"""How much the event stream of one launch may send: more than any build log, and less than fills a disk or a CI log."""
_MOST_LISTED = 100
_MOST_DEPTH = 3
_MOST_NUMBER = 2**63
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
        self._space = space_of_host(host_of(url)) or AddressSpace.PUBLIC
        self._spoken_to = [url]

    def launch(self, spec: RepositorySpec) -> EventStream:
        """Ask for a launch and hear of it; nothing is sent before the stream is entered."""
        call = Call()
        return EventStream(lambda stream: self._read(spec, stream, call), close=call.detach)

    def _read(self, spec: RepositorySpec, stream: EventStream, call: Call) -> Iterator[list[Event]]:
        decoder, size = EventDecoder(), 0
        with new_client() as client, translated(self.url), call, self._request(client, spec, call) as response:
            self._check(response)
            yield []
            for piece in read_as_it_comes(response.raw):
                size += len(piece)
                if size > _MOST_STREAM_BYTES:
                    raise HubError(f"{self.url} sent more than 1 GiB in one launch", hint=HUB_PROBLEM)
                yield from self._events(decoder, piece, stream)

    def _events(self, decoder: EventDecoder, piece: bytes, stream: EventStream) -> Iterator[list[Event]]:
        """Read the events that a piece of the stream completes; those behind one that cannot be read come too late."""
        problem = ""
        try:
            batch = decoder.feed(piece)
        except EventTooLargeError as error:
            batch, problem = error.events, f"{self.url}: {error}"
        try:
            events = read_events(batch)
        except ValueError as error:
            events, behind = _readable(batch)
            stream.add_late(behind)
            problem = f"{self.url} sent an event that cannot be read: {error}"
        yield events
        if problem:
            raise HubError(problem, hint=HUB_PROBLEM)

    def _request(self, client: requests.Session, spec: RepositorySpec, call: Call) -> requests.Response:
        """Send the request, along redirects: a federation's front answers 307, with a cookie for that path."""
        url = f"{self.url}/build/{spec.build_path}"
        response = follow(
            client,
            url,
            who=self.url,
            call=call,
            params={"build_token": self._build_token} if self._build_token else None,
            headers={"Accept": "text/event-stream"},
            timeout=(self._connect_s, self._longest_read_s),
        )
        self._space = call.space or space_of_host(host_of(response.url)) or AddressSpace.PUBLIC
        self._spoken_to.append(response.url)
        return response

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
        content_type = bounded(response.headers.get("Content-Type", ""), 100)
        if status != 200 or content_type.partition(";")[0].strip() != "text/event-stream":  # noqa: PLR2004
            raise HubError(
                f"{self.url} answered with HTTP {status} and {content_type or 'no content type'}, not with an event "
                "stream",
                hint="Is this the URL of a BinderHub? `clinder hub check` says more.",
            )

    def vet(self, url: str) -> str:
        """Check that the hub may send clinder to a session's URL: it must not be nearer to this machine than the hub.

        What counts is the address that the hub, or the server it redirected to, answered from. A host name is looked
        up; it may lead to a private network, as names inside an institution often do.

        Returns:
            A sentence worth telling the user; empty if there is nothing to tell.

        Raises:
            LaunchError: the URL is nearer to this machine than the hub.
        """
        host, literal = host_of(url), space_of_host(host_of(url))
        refused: frozenset[AddressSpace] = frozenset()
        if literal is not None:
            refused = frozenset({literal}) - REACHABLE[self._space]
        elif host not in map(host_of, self._spoken_to):
            with new_client() as client:
                found = spaces_of(client, url, timeout_s=self._connect_s)
            refused = found - REACHABLE[self._space] - {AddressSpace.PRIVATE}
        if refused:
            raise LaunchError(
                f"the hub said ready, but its session cannot be used: {url} leads to {min(refused)}, and {self.url} "
                "does not",
                hint=f"A hub may not send clinder there. {HUB_PROBLEM}",
            )
        if leads_to_loopback(url) and _port(url) not in map(_port, self._spoken_to):
            return f"the session is at {url}, another port of this machine than the hub's"
        return ""

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
        return because(f"it is unwell (HTTP {response.status_code})", _failing(health))

    def report(self) -> HubReport:
        """Ask the hub what it is and how it is.

        Raises:
            UnreachableError: it does not answer at all.
        """
        with new_client() as client:
            versions, response = self._json(client, "/versions")
            is_binderhub = isinstance(versions, dict) and "binderhub" in versions
            health, _ = self._json(client, "/health") if is_binderhub else (None, None)
            providers, _ = self._json(client, "/api/repoproviders") if is_binderhub else (None, None)
        health = health if isinstance(health, dict) else {}
        problem = ""
        if not is_binderhub:
            problem = f"{self.url} is not a BinderHub: /versions answers HTTP {response.status_code} without one"
        elif not health.get("ok"):
            problem = because(f"{self.url} is unwell", _failing(health))
        offered = [entry for entry in _list(providers) if _is_object(entry) and _is_offered(entry)]
        return HubReport(
            is_binderhub=is_binderhub,
            healthy=health.get("ok") is True,
            versions=_shortened(versions) if is_binderhub else {},
            checks=_shortened(_checks(health)),
            providers=[short_name(entry["id"]) for entry in offered[:_MOST_LISTED]],
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
        response, document = ask(
            client,
            "GET",
            self.url + path,
            who=self.url,
            timeout_s=self._connect_s,
            follows_redirects=True,
            headers={"Accept": "application/json"},
        )
        return document, response


def _readable(batch: Sequence[bytes]) -> tuple[list[Event], list[Event]]:
    """Read the events before the first one that cannot be read, and those behind it that can."""
    before: list[Event] = []
    behind: list[Event] = []
    events = before
    for data in batch:
        try:
            events.append(Event.from_json(data))
        except ValueError:
            events = behind
    return before, behind


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _checks(health: object) -> list[dict[str, Any]]:
    """Get the checks of `/health`, each with a name."""
    found = _list(health.get("checks")) if isinstance(health, dict) else []
    unnamed = "a check without a name"
    return [{**check, "service": short_name(check.get("service") or unnamed)} for check in found if _is_object(check)]


def _failing(health: object) -> str:
    """List the names of the checks that fail, at most a few of them."""
    failing = [check for check in _checks(health) if not (check.get("ok") or check.get("_ignore_failure"))]
    return listed(check["service"] for check in failing)


def _shortened(value: Any, depth: int = _MOST_DEPTH) -> Any:
    """Shorten a JSON value: its texts, its lists and objects, and how deeply they are nested."""
    if isinstance(value, str):
        return short_name(value)
    if isinstance(value, dict):
        few = list(value.items())[:_MOST_LISTED] if depth else []
        return {short_name(key): _shortened(item, depth - 1) for key, item in few}
    if isinstance(value, list):
        return [_shortened(item, depth - 1) for item in value[:_MOST_LISTED]] if depth else []
    return short_name(value) if isinstance(value, int) and abs(value) >= _MOST_NUMBER else value


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)


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
