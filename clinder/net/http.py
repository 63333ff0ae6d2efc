"""How clinder speaks HTTP: its User-Agent, its proxies, and the border where the libraries' errors become its own."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from clinder import HOME_PAGE, __version__
from clinder.model.errors import UnreachableError
from clinder.net.loopback import leads_to_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_BODY_BYTES = 1024 * 1024
_READ_BYTES = 65536
_POLL_S = 0.25
_PROXIES = "Look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."
USER_AGENT = f"clinder/{__version__} (+{HOME_PAGE})"


class _NoAuth(requests.auth.AuthBase):
    """Send no credentials that were not asked for: with an `auth` of its own, requests leaves `.netrc` alone."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Client(requests.Session):
    """Asks no proxy for what leads to this machine: it would be another one's loopback, and it would see the token."""

    def merge_environment_settings(self, url: str | bytes | None, *others: Any, **more: Any) -> Any:
        """Take proxies and certificates from the environment."""
        settings = super().merge_environment_settings(url, *others, **more)
        if leads_to_loopback(str(url)):
            settings["proxies"] = {}
        return settings


class _StayingClient(_Client):
    """Leaves redirects alone: requests reads their whole body and parses their target even when told not to follow."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Find no redirect."""
        return None


def new_client(*, follows_redirects: bool = False) -> requests.Session:
    """Make an HTTP client: clinder's User-Agent, proxies and certificates from the environment, no `.netrc`."""
    client = _Client() if follows_redirects else _StayingClient()
    client.headers["User-Agent"] = USER_AGENT
    client.auth = _NoAuth()
    return client


def _go_on(_seconds: float) -> None:
    """Be the pause of those who cannot be interrupted."""


def ask(
    client: requests.Session,
    method: str,
    url: str,
    *,
    who: str,
    timeout_s: float,
    pause: Callable[[float], None] = _go_on,
    **more: Any,
) -> tuple[requests.Response, Any]:
    """Send a request and read its answer as JSON, `None` where it is none; all of that in time.

    It is done in a thread of its own: the timeouts of the libraries below bound each piece of an answer and not the
    whole, so that headers which drip defeat them, and a read that is blocked hears no signal.

    Args:
        client: sends it.
        method: as HTTP names it.
        url: where to.
        who: whom that means, for messages.
        timeout_s: how long all of it may take, in seconds.
        pause: called meanwhile, again and again, with no time to sleep; raises to leave.
        more: for `requests.request`.

    Raises:
        UnreachableError: no answer came in time.
    """
    answers: list[tuple[requests.Response, Any]] = []
    errors: list[BaseException] = []

    def send() -> None:
        try:
            with translated(who):
                answers.append(_send(client, method, url, timeout=timeout_s, **more))
        except BaseException as error:  # handed on to the thread that waits
            errors.append(error)

    deadline = time.monotonic() + timeout_s
    thread = threading.Thread(target=send, name="clinder-request", daemon=True)
    thread.start()
    while thread.is_alive() and (left := deadline - time.monotonic()) > 0:
        thread.join(min(left, _POLL_S))
        pause(0)
    if errors:
        raise errors[0]
    if not answers:
        raise UnreachableError(f"{who} does not answer in time")
    return answers[0]


def _send(client: requests.Session, method: str, url: str, **more: Any) -> tuple[requests.Response, Any]:
    body = b""
    with client.request(method, url, stream=True, **more) as response:
        while len(body) < _MOST_BODY_BYTES and (piece := response.raw.read1(_READ_BYTES, decode_content=True)):
            body += piece
    try:
        return response, json.loads(body)
    except (ValueError, RecursionError):
        return response, None


@contextlib.contextmanager
def translated(who: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise into clinder's errors.

    Args:
        who: whom was spoken to, as the message shall name it: `https://mybinder.org`.

    Raises:
        UnreachableError: no connection, a connection that was cut, or an answer that is no HTTP.
    """
    try:
        yield
    except requests.exceptions.SSLError as error:
        untrusted = UnreachableError(
            f"{who}: its certificate cannot be trusted ({_cause(error)})",
            hint="If your network has a certificate authority of its own, name it in REQUESTS_CA_BUNDLE.",
        )
        untrusted.certificate_untrusted, untrusted.retryable = True, False
        raise untrusted from None
    except (requests.exceptions.InvalidSchema, urllib3.exceptions.ProxySchemeUnknown):
        raise UnreachableError(
            f"{who} cannot be reached through the proxy: its kind is not known here", hint=_PROXIES
        ) from None
    except (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError):
        raise UnreachableError(
            f"{who} cannot be reached: its address or that of the proxy cannot be read", hint=_PROXIES
        ) from None
    except requests.exceptions.ProxyError as error:
        raise UnreachableError(
            f"{who} cannot be reached through the proxy ({_cause(error)})",
            hint=_PROXIES,
        ) from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        raise UnreachableError(f"{who} does not answer in time") from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        # requests lets a ValueError pass for a Location that is no URL, and makes a bare OSError of a missing bundle
        if type(error) is OSError and "certificate" in str(error):
            raise UnreachableError(f"{who} cannot be reached: {error}", hint="Look at REQUESTS_CA_BUNDLE.") from None
        unreachable = UnreachableError(f"{who} cannot be reached: {_cause(error)}")
        unreachable.connection_refused = any(isinstance(each, ConnectionRefusedError) for each in _chain(error))
        raise unreachable from None


def _cause(error: BaseException) -> str:
    """Find the operating system's words at the bottom of a chain of exceptions; they hold no URL, so no token."""
    words = ""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return each.verify_message
        if isinstance(each, OSError) and each.strerror and not isinstance(each, requests.exceptions.RequestException):
            return each.strerror
        words = type(each).__name__
    return _WORDS.get(words, words)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go down from an exception of the libraries to what it came of."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        reason = getattr(seen, "reason", None)
        inner = next((part for part in seen.args if isinstance(part, BaseException)), None)
        following = reason if isinstance(reason, BaseException) else inner or seen.__cause__ or seen.__context__
        seen = following if following is not seen else None


_WORDS = {
    "RemoteDisconnected": "the connection was closed without an answer",
    "IncompleteRead": "the connection was cut",
    "InvalidChunkLength": "the connection was cut",
    "ConnectionResetError": "the connection was reset",
    "gaierror": "its name is unknown",
    "NameResolutionError": "its name is unknown",
}
