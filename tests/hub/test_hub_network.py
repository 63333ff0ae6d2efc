"""TLS, certificate authorities and proxies: what clinder trusts, how requests are routed, and who sees the token."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme
from pace import assert_took_under

from clinder.config.loading import Config
from clinder.hubs.binderhub import BinderHub
from clinder.model.errors import ClinderError, LaunchError, UnreachableError
from clinder.model.events import Message
from clinder.model.session import Session
from clinder.operations.lifecycle import adopt
from clinder.operations.oneshot import start, stop
from clinder.operations.probe import observe_session
from hub.networks import HUB, SESSION, Proxy, TlsFront
from hub.servers import TOKEN, Connection, JupyterSession, Request, Server, eventually, refused_url

if TYPE_CHECKING:
    from pathlib import Path

    from clinder.operations.context import RunContext

Configure = Callable[..., Config]
BUNDLE = "REQUESTS_CA_BUNDLE"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
    authority.issue_cert(*names, not_before=ends - timedelta(days=3), not_after=ends).configure_cert(tls)
    return tls


@pytest.fixture
def believed(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the authority's certificate, set in the environment."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv(BUNDLE, str(file))
    return file


@dataclass(frozen=True)
class Secured:
    """A hub and a session behind TLS, by the proxy's names and the loopback's names."""

    hub: Server
    hub_front: TlsFront
    session: JupyterSession
    session_front: TlsFront

    @property
    def hub_url(self) -> str:
        return f"https://127.0.0.1:{self.hub_front.port}"

    @property
    def session_url(self) -> str:
        return f"https://127.0.0.1:{self.session_front.port}{self.session.base}"


@pytest.fixture
def secured(hub: Server, session: JupyterSession, authority: trustme.CA) -> Iterator[Secured]:
    tls = certificate(authority, "127.0.0.1", HUB, SESSION)
    with TlsFront(hub.port, tls) as hub_front, TlsFront(session.port, tls) as session_front:
        yield Secured(hub, hub_front, session, session_front)


@pytest.fixture
def proxy(secured: Secured) -> Iterator[Proxy]:
    with Proxy(
        {
            HUB: secured.hub_front.port,
            SESSION: secured.session_front.port,
            "plain.test": secured.hub.port,
            "plain-session.test": secured.session.port,
        }
    ) as it:
        yield it


def through(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set these proxy variables, and unset all others."""
    monkeypatch.delenv("NO_PROXY")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


# Certificates


@pytest.mark.usefixtures("believed")
def test_a_private_authority_is_trusted_for_hub_and_session(
    secured: Secured, configure: Configure, context: RunContext
) -> None:
    secured.hub.handler = secured.session.launch(url=secured.session_url)
    made = start(configure(hub=secured.hub_url), context)
    assert made.url == secured.session_url
    assert messages(context) == [], "its kernel answered, over a WebSocket"
    assert stop(made, configure(), context)
    assert secured.session.was_shut_down


@pytest.mark.parametrize("fault", ["authority", "name", "time"])
def test_an_untrusted_certificate_is_refused_at_once(
    hub: Server,
    authority: trustme.CA,
    believed: Path,
    configure: Configure,
    context: RunContext,
    fault: str,
) -> None:
    made_by = trustme.CA() if fault == "authority" else authority
    tls = certificate(made_by, HUB if fault == "name" else "127.0.0.1", expired=fault == "time")
    began = time.monotonic()
    with TlsFront(hub.port, tls) as front:
        error = failure(configure(hub=f"https://127.0.0.1:{front.port}", retry__attempts=3, retry__backoff=5), context)
        assert front.greeted == 0
    assert_took_under(time.monotonic() - began, 3)  # it is not retried, because that cannot help
    assert hub.requests == []
    assert (type(error), error.exit_status) == (UnreachableError, 8)
    assert "its certificate cannot be trusted (" in error.message
    words = {"authority": "unable to get local issuer", "name": "not valid for '127.0.0.1'", "time": "expired"}
    assert words[fault] in error.message
    assert BUNDLE in error.hint


def test_a_self_signed_certificate_is_refused(
    hub: Server, tmp_path: Path, configure: Configure, context: RunContext
) -> None:
    authority = trustme.CA()
    both = tmp_path / "both.pem"
    both.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    with TlsFront(hub.port, tls) as front:
        error = failure(configure(hub=f"https://127.0.0.1:{front.port}"), context)
    assert "its certificate cannot be trusted (self-signed certificate)" in error.message.replace(
        "self signed", "self-signed"
    )
    assert hub.requests == []


def test_a_session_with_an_untrusted_certificate_gets_no_token_and_fails(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    with TlsFront(session.port, certificate(trustme.CA(), "127.0.0.1")) as front:
        hub.handler = session.launch(url=f"https://127.0.0.1:{front.port}{session.base}")
        began = time.monotonic()
        error = failure(configure(timeouts__stop=0.3), context)
        assert_took_under(time.monotonic() - began, 4)
    assert isinstance(error, LaunchError)
    assert "its certificate cannot be trusted" in error.message
    assert session.requests == []
    assert error.session is not None, "the session may be running, but its URI was lost"


def test_a_missing_certificate_bundle_is_named(
    secured: Secured, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BUNDLE, "/no/such/file")
    error = failure(configure(hub=secured.hub_url), context)
    assert (type(error), error.exit_status) == (UnreachableError, 8)
    assert "/no/such/file" in error.message
    assert BUNDLE in error.hint


@pytest.mark.usefixtures("believed")
def test_hub_check_trusts_the_same_authority(secured: Secured) -> None:
    secured.hub.handler = lambda _request, connection: connection.json(200, {"binderhub": "1"})
    assert BinderHub(secured.hub_url, connect_s=3).report().is_binderhub


# Proxies


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_sees_neither_path_nor_token_of_hub_and_session(
    secured: Secured,
    proxy: Proxy,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    through(monkeypatch, **{variable: proxy.url})
    secured.hub.handler = secured.session.launch(url=f"https://{SESSION}{secured.session.base}")
    made = start(configure(hub=f"https://{HUB}"), context)
    assert messages(context) == [], "its kernel answered, over a WebSocket"
    stop(made, configure(), context)
    assert secured.session.was_shut_down
    assert set(proxy.asked) == {f"CONNECT {HUB}:443", f"CONNECT {SESSION}:443"}
    assert TOKEN not in "".join(proxy.heads)


@pytest.mark.usefixtures("believed")
def test_hub_and_session_are_reached_through_a_proxy_that_speaks_tls_itself(
    secured: Secured,
    proxy: Proxy,
    authority: trustme.CA,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TlsFront(proxy.port, certificate(authority, "127.0.0.1")) as front:
        through(monkeypatch, HTTPS_PROXY=f"https://127.0.0.1:{front.port}")
        secured.hub.handler = secured.session.launch(url=f"https://{SESSION}{secured.session.base}")
        made = start(configure(hub=f"https://{HUB}"), context)
        assert messages(context) == [], "its kernel answered, over a WebSocket within TLS within TLS"
        stop(made, configure(), context)
    assert secured.session.was_shut_down


@pytest.mark.usefixtures("believed")
def test_an_unencrypted_hub_is_reached_through_http_proxy(
    secured: Secured, proxy: Proxy, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    through(monkeypatch, HTTP_PROXY=proxy.url, HTTPS_PROXY=proxy.url)
    secured.hub.handler = secured.session.launch(url=f"https://{SESSION}{secured.session.base}")
    start(configure(hub="http://plain.test"), context)
    assert proxy.asked[0] == "GET http://plain.test/build/gh/org/name/main"


def test_a_kernel_of_a_session_in_the_clear_is_reached_through_http_proxy(
    secured: Secured, proxy: Proxy, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    through(monkeypatch, HTTP_PROXY=proxy.url)
    secured.hub.handler = secured.session.launch(url=f"http://plain-session.test{secured.session.base}")
    start(configure(), context)
    assert ["not encrypted" in text for text in messages(context)] == [True], "nothing is said of its kernel"
    assert f"GET {secured.session.channels_opened[0].target}" in str(proxy.asked).replace(
        "http://plain-session.test", ""
    )


@pytest.mark.parametrize(("no_proxy", "ways"), [("0.0.0.0", 0), ("*", 0), ("elsewhere.test", 1)])
def test_hosts_in_no_proxy_are_reached_directly(
    hub: Server,
    proxy: Proxy,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
    no_proxy: str,
    ways: int,
) -> None:
    through(monkeypatch, HTTP_PROXY=proxy.url, NO_PROXY=no_proxy)
    config = configure(hub=f"http://0.0.0.0:{hub.port}")  # this machine, but not by a loopback address
    with contextlib.suppress(ClinderError):
        start(config, context)
    assert len(proxy.asked) == ways
    assert len(hub.requests) == 1 - ways


def test_requests_to_this_machine_use_no_proxy(
    hub: Server,
    session: JupyterSession,
    proxy: Proxy,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through(monkeypatch, HTTP_PROXY=proxy.url, HTTPS_PROXY=proxy.url, ALL_PROXY=proxy.url)
    made = start(configure(), context)
    assert messages(context) == [], "its kernel answered, over a WebSocket"
    stop(made, configure(), context)
    assert session.was_shut_down
    assert proxy.heads == []


def test_the_proxy_password_is_sent_only_to_the_proxy_and_never_shown(
    secured: Secured,
    proxy: Proxy,
    believed: Path,
    configure: Configure,
    context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through(monkeypatch, HTTPS_PROXY=proxy.url.replace("://", "://me:hunter2@"))
    secured.hub.handler = lambda _request, connection: connection.html(404)
    failure(configure(hub=f"https://{HUB}"), context)
    assert "Proxy-Authorization: Basic" in proxy.heads[0]
    assert "authorization" not in str([request.headers for request in secured.hub.requests]).lower()
    proxy.refusal = b"HTTP/1.1 407 no\r\nContent-Length: 0\r\n\r\n"
    error = failure(configure(hub=f"https://{HUB}"), context)
    assert "cannot be reached through the proxy" in error.message
    assert "hunter2" not in f"{error.message}{error.hint}{error!r}"


@pytest.mark.parametrize("given", [None, "socks5://127.0.0.1:1", "gopher://127.0.0.1:1", "http://:bad", "127.0.0.1:x"])
def test_an_unusable_proxy_is_an_error_that_names_the_variables(
    configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    with refused_url() as nobody:
        through(monkeypatch, HTTPS_PROXY=given or nobody)
        error = failure(configure(hub=f"https://{HUB}"), context)
    assert error.exit_status == 8
    assert "proxy" in error.message
    assert "HTTPS_PROXY" in error.hint


# Giving up


def drip(_request: Request, connection: Connection) -> None:
    connection.head(200, "application/json")
    while True:
        connection.send(b" ")
        connection.wait(0.02)


def requests_under_way() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "clinder-request"]


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize("is_proxied", [False, True])
def test_a_request_over_tls_that_is_given_up_leaves_no_thread(
    secured: Secured, proxy: Proxy, configure: Configure, monkeypatch: pytest.MonkeyPatch, is_proxied: bool
) -> None:
    url = secured.session_url
    if is_proxied:
        through(monkeypatch, HTTPS_PROXY=proxy.url)
        url = f"https://{SESSION}{secured.session.base}"
    secured.session.overrides["GET", "*"] = drip
    # Time enough for the handshake: Python leaks a socket that is reset before the server's side of it begins.
    seen = observe_session(Session(url=url, token=TOKEN), timeouts=configure(timeouts__connect=3).timeouts)
    assert seen.reason == "the server does not answer in time"
    assert secured.session.requests
    eventually(lambda: not requests_under_way(), "no thread is left")


def test_a_proxy_that_drips_leaves_no_thread(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(b"A: b\r\n")
            connection.wait(0.02)

    with Server(handle) as slow:
        through(monkeypatch, HTTPS_PROXY=slow.url)
        session = Session(url=f"https://{SESSION}/user/x/", token=TOKEN)
        seen = observe_session(session, timeouts=configure(timeouts__connect=0.3).timeouts)
        assert seen.reason == "the server does not answer in time"
        eventually(lambda: not requests_under_way(), "no thread is left")


# Unencrypted


def messages(context: RunContext) -> list[str]:
    items = context.on_event.items  # type: ignore[attr-defined]  # a `Heard`
    return [item.text for item in items if isinstance(item, Message) and item.warning]


@pytest.fixture
def exposed(session: JupyterSession) -> Session:
    """An unencrypted session at an address that is not a loopback address."""
    return Session(url=f"http://0.0.0.0:{session.port}{session.base}", token=TOKEN)


def test_launching_an_unencrypted_session_prints_a_warning(
    hub: Server, session: JupyterSession, exposed: Session, configure: Configure, context: RunContext
) -> None:
    hub.handler = session.launch(url=exposed.url)
    start(configure(), context)
    assert [text.startswith(f"{exposed.url} is not encrypted") for text in messages(context)] == [True]


def test_stopping_an_unencrypted_session_prints_a_warning_first(
    exposed: Session, configure: Configure, context: RunContext
) -> None:
    stop(exposed, configure(), context)
    assert [text.startswith(f"{exposed.url} is not encrypted") for text in messages(context)] == [True]


def test_adopting_an_unencrypted_session_prints_a_warning_first(
    exposed: Session, configure: Configure, context: RunContext
) -> None:
    adopt(configure(), context, exposed)
    assert [text.startswith(f"{exposed.url} is not encrypted") for text in messages(context)] == [True]


def test_an_unencrypted_session_on_the_loopback_prints_no_warning(configure: Configure, context: RunContext) -> None:
    made = start(configure(), context)
    stop(made, configure(), context)
    assert messages(context) == []
