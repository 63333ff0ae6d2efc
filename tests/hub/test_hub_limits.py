"""What a hub or a session sends has a bound, whatever it is: compressed answers, logs, headers, words, numbers."""

from __future__ import annotations

import gzip
import json
import resource
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from clinder.config.loading import Config
from clinder.hubs import binderhub
from clinder.hubs.binderhub import BinderHub
from clinder.model.errors import BuildError, ClinderError, HubError, LaunchError, UnreachableError
from clinder.model.observation import Condition
from clinder.model.session import Session
from clinder.net.http import ask, new_client
from clinder.operations.oneshot import start
from clinder.operations.probe import observe_session
from clinder.output.documents import hub_document
from clinder.output.text import hub_text
from hub.servers import TOKEN, Connection, JupyterSession, Request, Server, event, stream

if TYPE_CHECKING:
    from clinder.operations.context import RunContext

Configure = Callable[..., Config]
WAITING = event("waiting", "Waiting for build to start...\n")
MANY = 1_000_000


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


# Encodings


def test_answers_are_asked_for_without_compression(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    start(configure(), context)
    assert {request.headers["accept-encoding"] for request in [*hub.requests, *session.requests]} == {"identity"}


@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "x" * 9999]
)
@pytest.mark.parametrize("status", [200, 404])
def test_a_launch_with_an_encoding_that_was_not_asked_for_is_refused(
    hub: Server, configure: Configure, context: RunContext, encoding: str, status: int
) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        connection.head(status, Content_Encoding=encoding)
        connection.send(gzip.compress(WAITING))
        connection.hold()

    hub.handler = handle
    error = failure(configure(retry__attempts=3), context)
    assert isinstance(error, UnreachableError)
    assert f"sent a compressed response ({encoding[:9]}" in error.message
    assert len(error.message) < 300
    assert len(hub.requests) == 1, "it would answer in the same way again"


def test_an_identity_encoding_is_none(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        connection.head(200, Content_Encoding="identity")
        connection.send(WAITING + session.ready())

    hub.handler = handle
    start(configure(), context)


def test_a_small_answer_does_not_become_a_large_one(session: JupyterSession, configure: Configure) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(bomb.compress(bytes(MANY)) for _ in range(300)) + bomb.flush()
    session.overrides["GET", "*"] = lambda _request, connection: connection.answer(200, packed, Content_Encoding="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = observe_session(Session(url=session.session_url, token=TOKEN), timeouts=configure().timeouts)
    assert seen.condition is Condition.UNREACHABLE
    assert "compressed response (gzip)" in (seen.reason or "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_look_at_a_hub_that_compresses_is_refused() -> None:
    with (
        Server(lambda _request, connection: connection.answer(200, b"x", Content_Encoding="gzip")) as hub,
        pytest.raises(UnreachableError, match="compressed response"),
    ):
        BinderHub(hub.url, connect_s=2).report()


# Sizes


def test_a_launch_that_sends_without_end_is_left(
    hub: Server, configure: Configure, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binderhub, "_MOST_STREAM_BYTES", MANY)
    hub.handler = stream(WAITING, *[event("building", "x" * 1000 + "\n")] * 2000, "hold")
    error = failure(configure(retry__attempts=3), context)
    assert isinstance(error, HubError)
    assert "in one launch" in error.message
    assert len(hub.requests) == 1


def test_the_body_of_a_redirect_is_not_read() -> None:
    sent: list[int] = []

    def flood(_request: Request, connection: Connection) -> None:
        connection.head(302, "text/html", Location="/elsewhere")
        for _ in range(1000):
            connection.send(bytes(65536))
            sent.append(65536)

    with Server(flood) as hub, pytest.raises(HubError, match="again and again"):
        BinderHub(hub.url, connect_s=5).report()
    assert sum(sent) < 100 * MANY


def test_cookies_do_not_pile_up() -> None:
    count = 0

    def handle(_request: Request, connection: Connection) -> None:
        nonlocal count
        lines = [f"Set-Cookie: c{count + number}={'x' * 100}" for number in range(20)]
        count += 20
        connection.send(
            "\r\n".join(["HTTP/1.1 200 OK", *lines, "Connection: close", "Content-Length: 2", "", "{}"]).encode()
        )

    with Server(handle) as server, new_client() as client:
        for _ in range(20):
            ask(client, "GET", server.url, who="it", timeout_s=5)
        assert len(client.cookies) <= 70


@pytest.mark.parametrize(
    "handle",
    [
        lambda _request, connection: connection.html(200, X="x" * 60_000),
        lambda _request, connection: connection.answer(200, b"", "x" * 60_000),
        lambda _request, connection: connection.answer(429, b"", Retry_After="9" * 60_000),
        lambda _request, connection: connection.send(b"HTTP/1.1 200 " + b"x" * 60_000 + b"\r\n\r\n"),
        lambda _request, connection: connection.send(b"HTTP/1.1 " + b"2" * 60_000 + b" x\r\n\r\n"),
        lambda _request, connection: connection.send(b"HTTP/1.1 200 x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n"),
        lambda _request, connection: connection.send(b"HTTP/1.1 200 x\r\nA: " + b"b" * 5_000_000 + b"\r\n\r\n"),
        lambda _request, connection: connection.answer(307, b"", Location="http://x.invalid/" + "x" * 60_000),
        lambda _request, connection: connection.answer(307, b"", Location="gopher://" + "x" * 60_000),
        stream(event("failed", "x" * MANY)),
        stream(event("failed", "x" * MANY, status_code=403)),
        stream(event("failed", "x\n" * 300_000)),
        stream(b'data: {"phase": ' + b"9" * MANY + b"}\n\n"),
        stream(b"data: " + b"x" * MANY + b"\n\n"),
    ],
)
def test_no_message_is_longer_than_somebody_reads(
    hub: Server, configure: Configure, context: RunContext, handle: Any
) -> None:
    hub.handler = handle
    error = failure(configure(), context)
    assert len(f"{error.message}{error.hint}") < 5000


@pytest.mark.parametrize(
    ("details", "what"),
    [
        ({"url": "http://127.0.0.1/" + "x" * 100_000}, "URL is longer"),
        ({"token": "x" * 100_000}, "token is longer"),
        ({"url": "http://%31%32%37.0.0.1/"}, "is not a name or an address"),
        ({"url": "http://[fe80::1%25eth0]/"}, "is not a name or an address"),
    ],
)
def test_a_session_that_no_server_has_is_refused(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, details: Any, what: str
) -> None:
    hub.handler = session.launch(**details)
    error = failure(configure(), context)
    assert isinstance(error, LaunchError)
    assert what in error.message
    assert len(error.message) < 500


def test_what_a_session_is_described_with_is_left_out_where_it_is_too_long(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = session.launch(image="x" * 100_000, binder_ref_url="x" * 100_000)
    made = start(configure(), context)
    assert (made.image, made.ref_url) == ("", "")


@pytest.mark.parametrize("number", [10**9, 10**4000])
def test_absurd_numbers_and_moments_in_a_status_are_left_out(
    session: JupyterSession, configure: Configure, number: int
) -> None:
    status = {"kernels": number, "connections": number, "last_activity": "x" * 100_000}
    session.overrides["GET", "api/status"] = lambda _request, connection: connection.json(200, status)
    seen = observe_session(Session(url=session.session_url, token=TOKEN), timeouts=configure().timeouts)
    assert seen.condition is Condition.RUNNING
    assert (seen.kernels, seen.connections, seen.last_activity) == (None, None, None)


def test_progress_without_bounds_does_no_harm(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    layers: dict[str, object] = {f"layer{number}": {"current": -(10**4000), "total": -1} for number in range(100)}
    hub.handler = stream(event("pushing", "", progress=layers), session.ready())
    start(configure(), context)


# What a hub says of itself


LONG = "x" * 100_000


def looked_at(documents: dict[str, object]) -> tuple[str, str]:
    """What `hub check` prints, for people and for programs."""

    def handle(request: Request, connection: Connection) -> None:
        connection.json(200 if request.path != "/health" else 503, documents[request.path])

    with Server(handle) as hub:
        report = BinderHub(hub.url, connect_s=5).report()
        assert len(report.problem) < 3000
        assert len(BinderHub(hub.url, connect_s=5).health_problem()) < 3000
        return hub_text(hub.url, report, None), json.dumps(hub_document(hub.url, report, None))


@pytest.mark.parametrize(
    "documents",
    [
        {"/health": {"ok": False, "checks": [{"service": LONG, "ok": False}]}},
        {"/health": {"ok": False, "checks": [{"service": "x" * 50, "ok": False}] * 10_000}},
        {"/health": {"ok": False, "checks": [{LONG: LONG, "service": {"a": [LONG]}, "ok": LONG}]}},
        {"/versions": {"binderhub": LONG}},
        {"/versions": {"binderhub": [LONG] * 5}},
        {"/versions": {"binderhub": 10**4000, "a": {"b": {"c": {"d": {"e": LONG}}}}}},
        {"/versions": {"binderhub": "1", **{f"{number}": "x" * 500 for number in range(1000)}}},
        {"/api/repoproviders": [{"id": LONG}, {"id": [LONG]}]},
        {"/api/repoproviders": [{"id": f"provider{number}"} for number in range(20_000)]},
    ],
)
def test_what_a_hub_says_of_itself_is_shown_in_a_few_words(documents: dict[str, object]) -> None:
    usual: dict[str, object] = {"/versions": {"binderhub": "1"}, "/health": {"ok": False}, "/api/repoproviders": []}
    text, document = looked_at(usual | documents)
    assert max(map(len, text.splitlines())) < 4_000
    assert len(text) < 30_000
    assert len(document) < 100_000


def test_names_of_services_move_no_cursor() -> None:
    checks = [{"service": "\x1b[2J\x1b]0;title\x07Docker\n::error::x", "ok": False}]
    versions = {"/versions": {"binderhub": "\x1b[31m1"}, "/api/repoproviders": [{"id": "\x1b[31mgh"}]}
    text, _ = looked_at({"/health": {"ok": False, "checks": checks}, **versions})
    assert "\x1b" not in text
    assert "\n::error" not in text


@pytest.mark.parametrize("name", [None, "", 0, [], {}])
def test_a_check_without_a_name_is_said_to_be_one(name: object) -> None:
    text, document = looked_at(
        {
            "/versions": {"binderhub": "1"},
            "/health": {"ok": False, "checks": [{"service": name, "ok": False}]},
            "/api/repoproviders": [],
        }
    )
    assert json.loads(document)["problem"].endswith("is unwell: a check without a name")
    assert "a check without a name  failed" in text


def test_a_failure_that_says_nothing_gets_no_colon_with_nothing_after_it(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(event("failed", "\x1b[0m\r\n"))
    error = failure(configure(), context)
    assert isinstance(error, BuildError)
    assert error.message.endswith("the hub gives no reason")
