"""How clinder speaks HTTP: its User-Agent, its proxies, and the border where the libraries' errors become its own."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from clinder import HOME_PAGE, __version__
from clinder.errors import UnreachableError
from clinder.hosts import leads_to_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

UNTRUSTED = "its certificate cannot be trusted"
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
            f"{who}: {UNTRUSTED} ({_cause(error)})",
            hint="If your network has a certificate authority of its own, name it in REQUESTS_CA_BUNDLE.",
        )
        untrusted.retryable = False  # time does not mend it
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
        raise UnreachableError(f"{who} cannot be reached: {_cause(error)}") from None


def _cause(error: BaseException) -> str:
    """Find the operating system's words at the bottom of a chain of exceptions; they hold no URL, so no token."""
    seen: BaseException | None = error
    words = type(error).__name__
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        if isinstance(seen, OSError) and seen.strerror and not isinstance(seen, requests.exceptions.RequestException):
            return seen.strerror
        reason = getattr(seen, "reason", None)
        inner = next((part for part in seen.args if isinstance(part, BaseException)), None)
        following = reason if isinstance(reason, BaseException) else inner or seen.__cause__ or seen.__context__
        words = type(seen).__name__
        seen = following if following is not seen else None
    return _WORDS.get(words, words)


_WORDS = {
    "RemoteDisconnected": "the connection was closed without an answer",
    "IncompleteRead": "the connection was cut",
    "InvalidChunkLength": "the connection was cut",
    "ConnectionResetError": "the connection was reset",
    "gaierror": "its name is unknown",
    "NameResolutionError": "its name is unknown",
}
