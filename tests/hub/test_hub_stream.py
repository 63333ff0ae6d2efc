"""The event stream of a launch: each test covers one behaviour that was measured on real hubs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pace import assert_took_under

from clinder import HOME_PAGE, __version__
from clinder.config.loading import Config
from clinder.model.errors import (
    BuildError,
    ClinderError,
    HubError,
    LaunchError,
    LaunchRetryError,
    RateLimitedError,
    RefusedError,
    TimedOutError,
    UnreachableError,
)
from clinder.model.events import Phase, RateLimit, Retrying
from clinder.operations.context import RunContext
from clinder.operations.oneshot import start
from hub.servers import (
    KEEPALIVE,
    TOKEN,
    Connection,
    Handler,
    JupyterSession,
    Piece,
    Request,
    Server,
    event,
    eventually,
    in_turn,
    play,
    refused_url,
    stream,
)

if TYPE_CHECKING:
    from hub.conftest import Heard

Configure = Callable[..., Config]
WAITING = event("waiting", "Waiting for build to start...\n")
KEEPALIVES: list[Piece] = [KEEPALIVE, 0.05] * 200
SPARSE_KEEPALIVES: list[Piece] = [0.2, KEEPALIVE] * 6
BUILT = event("built", "Found built image, launching...\n", imageName="r/x:1")


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


# The request


def test_accept_is_exactly_text_event_stream(hub: Server, configure: Configure, context: RunContext) -> None:
    start(configure(), context)
    assert hub.requests[0].headers["accept"] == "text/event-stream"


def test_the_user_agent_names_clinder_its_version_and_its_home_page(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    start(configure(), context)
    agents = {request.headers["user-agent"] for request in [*hub.requests, *session.requests]}
    assert agents == {f"clinder/{__version__} (+{HOME_PAGE})"}


@pytest.mark.parametrize(
    ("repo", "ref", "path"),
    [
        ("org/name", "feature/x", "/build/gh/org/name/feature/x"),
        ("gl:group/sub/project", "main", "/build/gl/group%2Fsub%2Fproject/main"),
        ("https://git.example.org/a%20b.git", "", "/build/git/https%3A%2F%2Fgit.example.org%2Fa%2520b.git/HEAD"),
        ("10.5281/zenodo.3242074", "", "/build/zenodo/10.5281/zenodo.3242074"),
        ("gh:org/name", "a%2Fb", "/build/gh/org/name/a%252Fb"),
    ],
)
def test_the_spec_is_encoded_as_its_provider_requires(
    hub: Server, configure: Configure, context: RunContext, repo: str, ref: str, path: str
) -> None:
    start(configure(repo=repo, ref=ref), context)
    assert hub.requests[0].target == path


def test_a_launch_is_requested_once(hub: Server, configure: Configure, context: RunContext) -> None:
    start(configure(), context)
    assert len(hub.requests) == 1


def test_the_build_token_is_sent_in_the_query(hub: Server, configure: Configure, heard: Heard) -> None:
    start(configure(), RunContext(on_event=heard, build_token="b&t"))
    assert hub.requests[0].query == "build_token=b%26t"


# The front of a federation


def redirecting(to: str) -> Handler:
    def handle(request: Request, connection: Connection) -> None:
        cookie = f"binder-route=member; Path={request.path}"
        connection.answer(307, b"", Location=to + request.path, Set_Cookie=cookie)

    return handle


def test_a_redirect_to_a_member_is_followed_with_its_cookie(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    with Server(redirecting(hub.url)) as front:
        start(configure(hub=front.url), context)
    assert hub.requests[0].headers["cookie"] == "binder-route=member"
    assert hub.requests[0].headers["accept"] == "text/event-stream"


def test_the_recorded_hub_of_a_redirected_session_is_the_declared_one(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    with Server(redirecting(hub.url)) as front:
        assert start(configure(hub=front.url), context).hub == front.url


def test_the_build_token_is_not_sent_to_another_origin(hub: Server, configure: Configure) -> None:
    with Server(redirecting(hub.url)) as front:
        start(configure(hub=front.url), RunContext(build_token="hunter2"))
        assert "hunter2" in front.requests[0].target
    assert "hunter2" not in str(hub.requests)


def test_a_redirect_loop_is_a_bug_in_the_hub(configure: Configure, context: RunContext) -> None:
    with Server() as front:
        front.handler = redirecting(front.url)
        error = failure(configure(hub=front.url), context)
        assert len(front.requests) < 10
    assert isinstance(error, HubError)
    assert "redirects again and again" in error.message


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[bad", "http://", "//"])
def test_a_redirect_to_an_invalid_location_is_a_bug_in_the_hub(
    hub: Server, configure: Configure, context: RunContext, location: str
) -> None:
    hub.handler = lambda _request, connection: connection.answer(307, b"", Location=location)
    assert isinstance(failure(configure(), context), HubError)


# The events


def test_a_complete_build_gives_a_session(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, heard: Heard
) -> None:
    hub.handler = stream(
        WAITING,
        event(None, "Picked Git content provider.\n"),
        event("fetching", "Receiving objects: 10%\r"),
        event("Building", "Step 1/40\n"),
        event("pushing", "", progress={"a": "Pushed"}),
        event("deploying", "a phase of tomorrow\n"),
        KEEPALIVE,
        BUILT,
        event("launching", "Launching server...\n"),
        session.ready(),
    )
    made = start(configure(), context)
    assert (made.url, made.token) == (session.session_url, TOKEN)
    assert made.resolved_ref == "e67fba914dc26d54ddd5ead705f9e792eb67d6a9"
    assert [event.phase for event in heard.events] == [
        Phase.WAITING,
        None,
        Phase.FETCHING,
        Phase.BUILDING,
        Phase.PUSHING,
        Phase.UNKNOWN,
        Phase.BUILT,
        Phase.LAUNCHING,
        Phase.READY,
    ]
    assert {time.phase for time in made.phases} >= {"waiting", "fetching", "building", "pushing", "launching"}


@pytest.mark.parametrize("is_chunked", [True, False])
def test_events_are_delivered_as_they_arrive(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard, is_chunked: bool
) -> None:
    """The hub only continues when the client has read the event, so reading in blocks would never end."""
    waited: list[bool] = []

    def handle(_request: Request, connection: Connection) -> None:
        def until_heard(_connection: Connection) -> None:
            deadline = time.monotonic() + 3
            while not heard.events and time.monotonic() < deadline:
                time.sleep(0.01)
            waited.append(bool(heard.events))

        play(connection, WAITING, until_heard, BUILT, session.ready(), is_chunked=is_chunked)

    hub.handler = handle
    start(configure(), RunContext(on_event=heard))
    assert waited == [True]


def test_the_stream_is_closed_at_ready_even_if_the_hub_keeps_it_open(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(BUILT, session.ready(), "hold")
    start(configure(), context)
    eventually(hub.connections[0].is_disconnected, "the client disconnected")


def test_a_failure_without_message_is_explained_by_the_next_one(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(WAITING, event("failed"), 0.3, event("failed", "no such package: nump\n"), "hold")
    error = failure(configure(), context)
    assert isinstance(error, BuildError)
    assert "no such package: nump" in error.message


def test_a_failure_without_message_is_explained_within_the_same_chunk(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(WAITING + event("failed") + event("failed", "no such package: nump\n"), "hold")
    assert "no such package: nump" in failure(configure(), context).message


def test_a_failure_without_message_ends_the_launch_after_a_second(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(WAITING, event("failed"), "hold")
    began = time.monotonic()
    error = failure(configure(), context)
    assert isinstance(error, BuildError)
    took_s = time.monotonic() - began
    assert took_s > 0.9
    assert_took_under(took_s, 4)


@pytest.mark.parametrize("end", ["reset", KEEPALIVE])
def test_a_failure_without_message_at_the_end_counts_at_once(
    hub: Server, configure: Configure, context: RunContext, end: bytes | str
) -> None:
    hub.handler = stream(WAITING, event("failed"), 0.2, end)
    began = time.process_time()
    assert isinstance(failure(configure(), context), BuildError)
    assert time.process_time() - began < 0.5, "the wait uses CPU time"


def test_a_failed_build_with_an_open_stream_ends_the_launch(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(WAITING, event("failed", "a\n"), event("failed", "a\n"), event("failed", "a\n"), "hold")
    assert failure(configure(retry__attempts=3), context).exit_status == 5
    eventually(hub.connections[0].is_disconnected, "the client disconnected")
    assert len(hub.requests) == 1, "the failed build was retried"


@pytest.mark.parametrize(
    ("message", "kind", "hint"),
    [
        ("No provider found for prefix nope\n", BuildError, "hub check"),
        (
            "Could not resolve ref for gh:org/repo/x. Double check your URL and that your repo is public.\n",
            BuildError,
            "ref",
        ),
        ('Spec is not of the form "user/repo/ref", provided: "org/repo".\n', BuildError, ""),
        ("Sorry, org/repo is not allowed to launch. Please contact admins for more info.\n", RefusedError, ""),
    ],
)
def test_an_invalid_spec_is_reported_and_not_retried(
    hub: Server,
    configure: Configure,
    context: RunContext,
    message: str,
    kind: type[ClinderError],
    hint: str,
) -> None:
    hub.handler = stream(event("failed", message))
    error = failure(configure(retry__attempts=3), context)
    assert type(error) is kind
    assert message.strip() in error.message
    assert hint in error.hint
    assert len(hub.requests) == 1


def test_a_wrong_build_token_is_refused_and_not_shown(hub: Server, configure: Configure) -> None:
    hub.handler = stream(event("failed", "Invalid build token\n", status_code=403))
    error = failure(configure(retry__attempts=3), RunContext(build_token="hunter2"))
    assert isinstance(error, RefusedError)
    assert "CLINDER_BUILD_TOKEN" in error.hint
    assert "hunter2" not in f"{error.message}{error.hint}"
    assert len(hub.requests) == 1


def test_a_rate_limit_in_the_stream_sets_the_pause(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = stream(event("failed", "Rate limit exceeded. Try again in 3600 seconds.\n", status_code=429))
    error = failure(configure(), context)
    assert isinstance(error, RateLimitedError)
    assert (error.exit_status, error.retry_after_s) == (8, 3600)


def test_the_pause_requested_by_the_hub_is_used_up_to_the_limit(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    limited = stream(event("failed", "Rate limit exceeded. Try again in 3600 seconds.\n", status_code=429))
    hub.handler = in_turn(limited, session.launch())
    start(configure(retry__attempts=2, retry__wait=0.05), RunContext(on_event=heard))
    assert [item.delay_s for item in heard.items if isinstance(item, Retrying)] == [0.05]


def test_the_remaining_launches_are_reported(hub: Server, configure: Configure, heard: Heard) -> None:
    left = {"X_Ratelimit_Remaining": "7", "X_Ratelimit_Limit": "10", "X_Ratelimit_Reset": "1795373520"}

    def handle(_request: Request, connection: Connection) -> None:
        connection.head(200, **left)
        connection.send(event("failed", "no\n"))

    hub.handler = handle
    failure(configure(), RunContext(on_event=heard))
    assert RateLimit(hub.url, 7, 10, 1795373520) in heard.items


def test_absurd_rate_limit_headers_are_harmless(hub: Server, configure: Configure, context: RunContext) -> None:
    def handle(_request: Request, connection: Connection) -> None:
        absurd = "9" * 5000
        connection.head(200, X_Ratelimit_Remaining=absurd, X_Ratelimit_Limit=absurd, X_Ratelimit_Reset=absurd)
        connection.send(event("failed", "no\n"))

    hub.handler = handle
    assert isinstance(failure(configure(), context), BuildError)


def test_a_quota_reached_after_built_allows_another_hub(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    with Server(stream(BUILT, event("failed", "Too many users on this BinderHub! Try again soon.\n"))) as full:
        made = start(configure(hub=[full.url, hub.url], retry__attempts=2), context)
    assert made.hub == hub.url


def test_a_launch_that_the_hub_abandoned_is_retried(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    gave_up = stream(BUILT, event("launching", "Launch attempt 1 failed\n"), event("failed", "no\n", status_code=500))
    hub.handler = in_turn(gave_up, gave_up, session.launch())
    start(configure(retry__attempts=3), context)
    assert len(hub.requests) == 3


@pytest.mark.parametrize("before", [WAITING, WAITING + BUILT])
def test_a_stream_that_ends_before_ready_is_retried(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, before: bytes
) -> None:
    hub.handler = in_turn(stream(before), session.launch())
    start(configure(retry__attempts=2), context)
    assert len(hub.requests) == 2


def test_a_truncated_ready_event_is_ignored(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(BUILT, session.ready().removesuffix(b"\n"))
    assert isinstance(failure(configure(), context), LaunchRetryError)


def test_a_possible_orphan_after_a_cut_is_reported(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = stream(WAITING, BUILT, 0.1, "reset")
    assert "The hub launches it all the same" in failure(configure(), context).hint


@pytest.mark.parametrize(
    "cut",
    [
        stream(WAITING, 0.1, "reset"),
        lambda _request, connection: connection.reset(),
        lambda _request, _connection: None,
        lambda _request, connection: connection.send(b"HTTP/1.1 2"),
        lambda _request, connection: connection.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        lambda _request, connection: (connection.head(200, Transfer_Encoding="chunked"), connection.send(b"zz\r\n"))[0],
        lambda _request, connection: (connection.head(200, Content_Length="999"), connection.send(WAITING))[0],
    ],
    ids=["reset later", "reset", "nothing", "half a line", "not HTTP", "bad chunk", "too short"],
)
def test_a_cut_connection_is_retried(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, cut: Handler
) -> None:
    hub.handler = in_turn(cut, session.launch())
    start(configure(retry__attempts=2), context)
    assert len(hub.requests) == 2


def test_a_hub_that_refuses_connections_is_unreachable(configure: Configure, context: RunContext) -> None:
    with refused_url() as url:
        error = failure(configure(hub=url), context)
    assert isinstance(error, UnreachableError)
    assert error.message == f"{url} cannot be reached: Connection refused"


def test_a_hub_with_an_unknown_host_name_is_unreachable(configure: Configure, context: RunContext) -> None:
    error = failure(configure(hub="http://nobody.invalid"), context)
    assert isinstance(error, UnreachableError)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_error_of_the_proxy_is_retried(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, status: int
) -> None:
    hub.handler = in_turn(lambda _request, connection: connection.html(status), session.launch())
    start(configure(retry__attempts=2), context)
    assert len(hub.requests) == 2


def test_the_retry_after_of_a_proxy_is_respected(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = lambda _request, connection: connection.html(429, Retry_After="17")
    error = failure(configure(), context)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 17


@pytest.mark.parametrize(("status", "exit_status"), [(401, 3), (403, 3), (404, 8), (418, 8)])
def test_a_refusal_of_the_proxy_is_not_retried(
    hub: Server, configure: Configure, context: RunContext, status: int, exit_status: int
) -> None:
    hub.handler = lambda _request, connection: connection.html(status)
    assert failure(configure(retry__attempts=3), context).exit_status == exit_status
    assert len(hub.requests) == 1


def test_an_html_page_means_that_the_url_is_not_a_hub(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = lambda _request, connection: connection.html(200)
    error = failure(configure(retry__attempts=3), context)
    assert type(error) is HubError
    assert "not with an event stream" in error.message
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    "odd", [b"data: {\n\n", b"data: []\n\n", b"data: hello\n\n", b"data\n\n", b"data: " + b"[" * 60000 + b"\n\n"]
)
def test_an_unreadable_event_is_a_bug_in_the_hub(
    hub: Server, configure: Configure, context: RunContext, odd: bytes
) -> None:
    hub.handler = stream(WAITING, odd, "hold")
    error = failure(configure(), context)
    assert type(error) is HubError
    assert "cannot be read" in error.message


def test_an_endless_line_is_refused_at_one_mebibyte(hub: Server, configure: Configure, context: RunContext) -> None:
    sent: list[int] = []

    def handle(_request: Request, connection: Connection) -> None:
        connection.head(200)
        connection.send(b"data: ")
        for _ in range(2000):
            connection.send(b"x" * 65536)
            sent.append(65536)

    hub.handler = handle
    assert "larger than 1048576 bytes" in failure(configure(), context).message
    eventually(hub.connections[0].is_disconnected, "the client disconnected")
    assert sum(sent) < 64 * 1024 * 1024


@pytest.mark.parametrize(
    "details",
    [
        {"url": None},
        {"url": "file:///etc/passwd"},
        {"url": "http://user:pw@127.0.0.1/"},
        {"url": "http://127.0.0.1/\n"},
        {"token": None},
        {"token": ""},
        {"token": "a\r\nX: y"},
        {"token": 5},
    ],
)
def test_ready_with_an_untrusted_url_or_token_fails_the_launch(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, details: dict[str, object]
) -> None:
    hub.handler = session.launch(**details)
    error = failure(configure(retry__attempts=3), context)
    assert type(error) is LaunchError
    assert "the hub reported ready, but its session cannot be used" in error.message
    assert session.requests == []
    assert len(hub.requests) == 1


# Timeouts


def test_keepalives_do_not_extend_the_build_timeout(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = stream(WAITING, *KEEPALIVES)
    error = failure(configure(timeouts__build=0.5, timeouts__silence=0.3), context)
    assert isinstance(error, TimedOutError)
    assert "is not done in time while building: timeouts.build = 0.5s (--timeouts-build)" in error.message


def test_keepalives_do_not_extend_the_launch_timeout(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = stream(WAITING, BUILT, *KEEPALIVES)
    error = failure(configure(timeouts__launch=0.5), context)
    assert isinstance(error, TimedOutError)
    assert "timeouts.launch = 0.5s" in error.message
    assert "The hub launches it all the same" in error.hint


def test_the_launch_timeout_starts_after_the_build(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(WAITING, 0.6, BUILT, 0.6, session.ready())
    start(configure(timeouts__build=1, timeouts__launch=3), context)


def test_a_silent_hub_is_abandoned(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = stream(WAITING, "hold")
    error = failure(configure(timeouts__silence=0.3), context)
    assert isinstance(error, TimedOutError)
    assert error.exit_status == 7
    assert "sent nothing in time while building: timeouts.silence = 0.3s (--timeouts-silence)" in error.message
    eventually(hub.connections[0].is_disconnected, "the client disconnected")


def test_keepalives_are_signs_of_life(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = stream(WAITING, *SPARSE_KEEPALIVES, BUILT, session.ready())
    start(configure(timeouts__silence=0.6), context)


def dripping(_request: Request, connection: Connection) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Long: " + b"x" * 1000:
        connection.send(bytes([byte]))
        connection.wait(0.05)


@pytest.mark.parametrize("handler", [lambda _request, connection: connection.hold(), dripping], ids=["silent", "drips"])
def test_a_hub_that_does_not_answer_in_time_is_unreachable(
    hub: Server, configure: Configure, context: RunContext, handler: Handler
) -> None:
    hub.handler = handler
    began = time.monotonic()
    assert isinstance(failure(configure(timeouts__connect=0.5), context), UnreachableError)
    assert_took_under(time.monotonic() - began, 4)
