"""How clinder speaks HTTP: its User-Agent, its proxies, and the border where the libraries' errors become its own.

A request can be given up at any time: its connection is shut down, so that the thread which waits for the response
ends. Compressed responses are refused: a small one could become as large as it likes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from clinder import HOME_PAGE, __version__
from clinder.model.errors import HubError, UnreachableError
from clinder.model.wording import LACKING, because, os_hint, os_reason, short_name
from clinder.net.connections import HUB_PROBLEM, Call, watched
from clinder.net.loopback import AddressSpace, host_of, leads_to_loopback, space_of_address, space_of_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Answer = TypeVar("_Answer")

_MOST_BODY_BYTES = 1024 * 1024
_READ_BYTES = 65536
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_COOKIES = 50
_POLL_S = 0.25
_LEAVING_S = 0.5
"""How long a thread may take to end once its connection is shut down. It takes longer only in a lookup of a name."""
_PROXIES = "Look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."
USER_AGENT = f"clinder/{__version__} (+{HOME_PAGE})"


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes connections that can be shut down, and refuses compressed responses, since none is asked for."""

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        """Make the pools of connections to servers."""
        super().init_poolmanager(*arguments, **more)
        self._watch(self.poolmanager, is_direct=True)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Get the pools of connections to a proxy."""
        is_known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **more)
        if not is_known:
            self._watch(manager, is_direct=False)
        return manager

    def _watch(self, manager: Any, *, is_direct: bool) -> None:
        kinds = manager.pool_classes_by_scheme.items()
        manager.pool_classes_by_scheme = {scheme: watched(kind, is_direct=is_direct) for scheme, kind in kinds}

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Make the response; nothing of its body has been read yet."""
        encoding = resp.headers.get("Content-Encoding", "").strip()
        if encoding.lower() not in ("", "identity"):
            resp.close()
            raise requests.exceptions.ContentDecodingError(short_name(encoding))
        return super().build_response(req, resp)


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

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Find no redirect: requests reads its whole body and parses its target even when told not to follow."""
        return None


def new_client() -> requests.Session:
    """Make an HTTP client: clinder's User-Agent, proxies and certificates from the environment, no `.netrc`.

    It asks for responses without compression and follows no redirects.
    """
    client = _Client()
    for scheme in ("http://", "https://"):
        client.mount(scheme, _Adapter())
    client.headers["User-Agent"] = USER_AGENT
    client.headers["Accept-Encoding"] = "identity"
    client.auth = _NoAuth()
    return client


def follow(client: requests.Session, url: str, *, who: str, call: Call, **more: Any) -> requests.Response:
    """Send a GET request, follow redirects, and return the response with its body still unread.

    Query parameters (`params`) are not sent on to where a redirect leads.

    Raises:
        HubError: there are too many redirects, or one leads to an invalid URL or nearer to this machine.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        try:
            response = client.get(url, stream=True, allow_redirects=False, **more)
        except HubError as error:
            raise HubError(f"{who} cannot be used: {error.message}", hint=error.hint) from None
        location = response.headers.get("Location")
        if response.status_code not in _REDIRECTS or location is None:
            return response
        response.close()
        more.pop("params", None)
        call.note_redirect(url)
        url = _redirect_target(url, location, who, call)
    raise HubError(f"{who} redirects again and again", hint=HUB_PROBLEM)


def _redirect_target(url: str, location: str, who: str, call: Call) -> str:
    try:
        target = urljoin(url, location)
        is_web_address = urlsplit(target).scheme in ("http", "https") and bool(host_of(target))
    except ValueError:
        is_web_address = False
    if not is_web_address:
        raise HubError(f"{who} redirects to an invalid web address", hint=HUB_PROBLEM)
    try:
        call.check_redirect(space_of_host(host_of(target)))
    except HubError as error:
        raise HubError(f"{who} cannot be used: {error.message}", hint=error.hint) from None
    return target


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
    follows_redirects: bool = False,
    **more: Any,
) -> tuple[requests.Response, Any]:
    """Send a request and read its answer as JSON, `None` where it is none; all of that in time.

    Args:
        client: sends it.
        method: as HTTP names it.
        url: where to.
        who: whom that means, for messages.
        timeout_s: how long all of it may take, in seconds.
        pause: called meanwhile, again and again, with no time to sleep; raises to leave.
        follows_redirects: whether to follow redirects; for `GET` only.
        more: for `requests.request`.

    Raises:
        UnreachableError: no answer came in time.
        HubError: a redirect cannot be followed.
    """
    call = Call()

    def send() -> tuple[requests.Response, Any]:
        with translated(who), call:
            if follows_redirects:
                return _read(client, follow(client, url, who=who, call=call, timeout=timeout_s, **more))
            return _read(client, client.request(method, url, stream=True, timeout=timeout_s, **more))

    return in_thread(send, who=who, timeout_s=timeout_s, pause=pause, detach=call.detach)


def in_thread(
    work: Callable[[], _Answer],
    *,
    who: str,
    timeout_s: float,
    pause: Callable[[float], None] = _go_on,
    detach: Callable[[], None] = lambda: None,
) -> _Answer:
    """Run a function in a thread, within a time limit, and return its result.

    The timeouts of the libraries below apply to each read, so that a server which sends a byte now and then defeats
    them, and a blocked read does not notice signals.

    Args:
        work: the function.
        who: whose response it waits for, for messages.
        timeout_s: the time limit, in seconds.
        pause: called repeatedly while it runs, with 0; raises to leave.
        detach: makes the function return soon.

    Raises:
        UnreachableError: it did not finish in time.
    """
    answers: list[_Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # handed on to the thread that waits
            errors.append(error)

    deadline = time.monotonic() + timeout_s
    thread = threading.Thread(target=run, name="clinder-request", daemon=True)
    thread.start()
    try:
        while thread.is_alive() and (left := deadline - time.monotonic()) > 0:
            thread.join(min(left, _POLL_S))
            pause(0)
    finally:
        if is_late := thread.is_alive():
            detach()
            thread.join(_LEAVING_S)
    if is_late:  # even if there is a result by now: a response that was cut off can look complete
        raise UnreachableError(f"{who} does not answer in time")
    if errors:
        raise errors[0]
    return answers[0]


def _read(client: requests.Session, response: requests.Response) -> tuple[requests.Response, Any]:
    body = b""
    with response:
        while len(body) < _MOST_BODY_BYTES and (piece := response.raw.read1(_READ_BYTES, decode_content=False)):
            body += piece
    if len(client.cookies) > _MOST_COOKIES:
        client.cookies.clear()
    try:
        return response, json.loads(body)
    except (ValueError, RecursionError):
        return response, None


def spaces_of(client: requests.Session, url: str, *, timeout_s: float) -> frozenset[AddressSpace]:
    """Look up the address spaces of a URL's host; empty if the lookup fails, or is left to a proxy.

    Args:
        client: the client that will send requests to the URL; its proxies count.
        url: the URL.
        timeout_s: how long the lookup may take, in seconds.
    """
    parts = urlsplit(url)
    if requests.utils.select_proxy(url, client.merge_environment_settings(url, {}, None, None, None)["proxies"]):
        return frozenset()

    def look_up() -> frozenset[AddressSpace]:
        found = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
        return frozenset(
            space_of_address(ipaddress.ip_address(str(address[0]).partition("%")[0])) for *_, address in found
        )

    try:
        return in_thread(look_up, who=host_of(url), timeout_s=timeout_s)
    except (UnreachableError, OSError, ValueError):
        return frozenset()


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
    except requests.exceptions.ContentDecodingError as error:
        encoded = UnreachableError(
            f"{who} sent a compressed response ({error}), which clinder did not ask for",
            hint="clinder sends `Accept-Encoding: identity`. A proxy in between may have changed that.",
        )
        encoded.retryable = False
        raise encoded from None
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
        hint = _local_hint(error)
        what = f"{who} cannot be {'asked' if hint else 'reached'}"
        unreachable = UnreachableError(because(what, _cause(error)), hint=hint)
        unreachable.connection_refused = any(isinstance(each, ConnectionRefusedError) for each in _chain(error))
        raise unreachable from None


def _cause(error: BaseException) -> str:
    """Find the operating system's words at the bottom of a chain of exceptions; they hold no URL, so no token."""
    words = ""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return each.verify_message
        if isinstance(each, OSError) and each.strerror and not isinstance(each, requests.exceptions.RequestException):
            return os_reason(each)
        words = type(each).__name__
    return _WORDS.get(words, words)


def _local_hint(error: BaseException) -> str:
    """Get advice for errors that mean a lack of resources, such as too many open files; empty for others."""
    lacking = (each for each in _chain(error) if isinstance(each, OSError) and each.errno in LACKING)
    return os_hint(next(lacking, error))


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
