"""Attempts over a list of hubs: which hub comes next, after which pause, and how the last error describes each."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest
from pace import assert_took_under

from clinder.config.loading import Config
from clinder.hubs.embedded import EmbeddedHub
from clinder.model.errors import (
    BuildError,
    ClinderError,
    HubError,
    LaunchRetryError,
    RateLimitedError,
    UnreachableError,
)
from clinder.model.events import Attempt, Message, RateLimit, Retrying
from clinder.operations.context import RunContext
from clinder.operations.lifecycle import up
from clinder.operations.oneshot import start
from clinder.state import StateFolder
from hub.servers import (
    Connection,
    Handler,
    JupyterSession,
    Request,
    Server,
    event,
    in_turn,
    refused_url,
    stream,
)

if TYPE_CHECKING:
    from hub.conftest import Heard

Configure = Callable[..., Config]
BUILT = event("built", "Found built image, launching...\n")
LIMITED = stream(event("failed", "Rate limit exceeded. Try again in 3600 seconds.\n", status_code=429))
WELL = {"ok": True, "checks": [{"service": "JupyterHub API", "ok": True}]}
UNWELL = {
    "ok": False,
    "checks": [{"service": "JupyterHub API", "ok": False}, {"service": "Quota", "ok": False, "_ignore_failure": True}],
}


def plain(status: int, **headers: str) -> Handler:
    return lambda _request, connection: connection.html(status, **headers)


def hub_with(launch: Handler, *, health: Handler = plain(404)) -> Handler:  # noqa: B008  # it does not change
    """A hub whose `/health` is answered separately from launches."""
    return lambda request, connection: (health if request.path == "/health" else launch)(request, connection)


def healthy(_request: Request, connection: Connection) -> None:
    connection.json(200, WELL)


def unhealthy(_request: Request, connection: Connection) -> None:
    connection.json(503, UNWELL)


def with_limit(*pieces: bytes, remaining: int, reset_in_s: float) -> Handler:
    """Play an event stream with rate limit headers."""

    def handle(_request: Request, connection: Connection) -> None:
        reset = str(int(time.time() + reset_in_s))
        connection.head(200, X_Ratelimit_Remaining=str(remaining), X_Ratelimit_Limit="10", X_Ratelimit_Reset=reset)
        for piece in pieces:
            connection.send(piece)

    return handle


def failure(config: Config, context: RunContext) -> ClinderError:
    with pytest.raises(ClinderError) as caught:
        start(config, context)
    return caught.value


def launches(server: Server) -> int:
    return len(server.asked("/build/"))


def notices(heard: Heard) -> list[str]:
    texts = [item.text for item in heard.items if isinstance(item, Message)]
    return [text for text in texts if not text.startswith("the session is at")]


def pauses(heard: Heard) -> list[float]:
    return [item.delay_s for item in heard.items if isinstance(item, Retrying)]


# Each attempt uses the next hub


def test_each_attempt_uses_the_next_hub_of_the_list(hub: Server, configure: Configure, heard: Heard) -> None:
    with Server(hub_with(plain(503))) as first, Server(hub_with(plain(502))) as second:
        config = configure(hub=[first.url, second.url, hub.url], retry__attempts=3)
        assert start(config, RunContext(on_event=heard)).hub == hub.url
        assert [launches(server) for server in (first, second, hub)] == [1, 1, 1]


def test_the_list_starts_again_while_attempts_remain(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = hub_with(in_turn(plain(503), session.launch()))
    with Server(hub_with(plain(503))) as other:
        start(configure(hub=[hub.url, other.url], retry__attempts=3), context)
        assert (launches(hub), launches(other)) == (2, 1)


def test_each_attempt_is_reported_with_the_reason_for_the_retry(
    hub: Server, configure: Configure, heard: Heard
) -> None:
    with Server(hub_with(plain(502))) as first:
        start(configure(hub=[first.url, hub.url], retry__attempts=2), RunContext(on_event=heard))
        shown = [item for item in heard.items if isinstance(item, Attempt | Retrying)]
        assert [(item.hub, item.number) for item in shown if isinstance(item, Attempt)] == [
            (first.url, 1),
            (hub.url, 2),
        ]
        assert isinstance(shown[1], Retrying)
        assert shown[1].reason == f"{first.url} is unwell (HTTP 502)"


def test_the_last_error_names_each_hub_and_its_failure(hub: Server, configure: Configure, context: RunContext) -> None:
    limited = stream(event("failed", "Try again in 1 seconds.\n", status_code=429))
    with Server(hub_with(plain(502))) as first, Server(hub_with(stream(BUILT))) as second:
        hub.handler = hub_with(limited)
        error = failure(configure(hub=[first.url, second.url, hub.url], retry__attempts=3), context)
        assert isinstance(error, RateLimitedError)
        assert error.message.splitlines() == [
            "no session after 3 tries:",
            f"  1. {first.url} is unwell (HTTP 502)",
            f"  2. {second.url} ended the stream before the session was ready",
            f"  3. {hub.url} takes no more launches for now: Try again in 1 seconds.",
        ]


# Known to be unhealthy or limited


def test_a_hub_with_health_503_is_skipped_with_the_reason(hub: Server, configure: Configure, heard: Heard) -> None:
    with Server(hub_with(plain(500), health=unhealthy)) as ill:
        made = start(configure(hub=[ill.url, hub.url]), RunContext(on_event=heard))
        assert made.hub == hub.url
        assert launches(ill) == 0
        assert notices(heard) == [f"{ill.url} is passed over: it is unwell (HTTP 503): JupyterHub API"]


@pytest.mark.parametrize("health", [healthy, plain(404), plain(200), plain(302, Location="/"), plain(401)])
def test_a_hub_that_is_healthy_or_has_no_health_check_is_used(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, health: Handler
) -> None:
    hub.handler = hub_with(session.launch(), health=health)
    with Server() as other:
        assert start(configure(hub=[hub.url, other.url]), context).hub == hub.url
        assert other.requests == []


def test_a_hub_that_refuses_connections_is_skipped(hub: Server, configure: Configure, heard: Heard) -> None:
    with refused_url() as url:
        assert start(configure(hub=[url, hub.url]), RunContext(on_event=heard)).hub == hub.url
        assert notices(heard) == [f"{url} is passed over: it cannot be reached: Connection refused"]


@pytest.mark.parametrize("slow", [lambda _request, connection: connection.hold(), None], ids=["silent", "drips"])
def test_a_hub_with_a_slow_health_check_counts_as_healthy(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext, slow: Handler | None
) -> None:
    def drip(_request: Request, connection: Connection) -> None:
        connection.head(503, "application/json")
        for _ in range(100):
            connection.send(b" ")
            connection.wait(0.02)

    hub.handler = hub_with(session.launch(), health=slow or drip)
    began = time.monotonic()
    with Server() as other:
        config = configure(hub=[hub.url, other.url], timeouts__connect=1, session__warm="off")
        assert start(config, context).hub == hub.url
    took_s = time.monotonic() - began
    assert took_s > 0.4
    assert_took_under(took_s, 3)


def test_a_single_hub_only_gets_the_launch_request(
    hub: Server, session: JupyterSession, configure: Configure, context: RunContext
) -> None:
    hub.handler = hub_with(in_turn(plain(503), session.launch()), health=unhealthy)
    start(configure(hub=[hub.url, hub.url], retry__attempts=2), context)
    assert [request.path.split("/")[1] for request in hub.requests] == ["build", "build"]


def test_the_first_hub_is_tried_if_every_hub_is_unhealthy(
    session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    with (
        Server(hub_with(session.launch(), health=unhealthy)) as first,
        Server(hub_with(session.launch(), health=unhealthy)) as second,
    ):
        assert start(configure(hub=[first.url, second.url]), RunContext(on_event=heard)).hub == first.url
        assert launches(second) == 0
    assert "no hub of the list is better off" in notices(heard)[-1]


def test_a_skipped_hub_is_named_in_the_last_error(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = hub_with(stream(event("failed", "no such package: nump\n")))
    with Server(hub_with(plain(500), health=unhealthy)) as ill:
        error = failure(configure(hub=[ill.url, hub.url]), context)
        assert isinstance(error, BuildError)
        assert error.message.splitlines() == [
            f"the build on {hub.url} failed: no such package: nump",
            f"  {ill.url} was passed over: it is unwell (HTTP 503): JupyterHub API",
        ]


def test_a_hub_that_was_tried_after_all_is_not_reported_as_skipped(
    hub: Server, configure: Configure, context: RunContext
) -> None:
    hub.handler = hub_with(plain(500), health=unhealthy)
    with Server(hub_with(plain(500), health=unhealthy)) as other:
        error = failure(configure(hub=[hub.url, other.url], retry__attempts=2), context)
        assert (launches(hub), launches(other)) == (1, 1)
    assert "passed over" not in error.message


def test_an_embedded_hub_that_is_not_installed_is_a_last_resort(
    hub: Server, session: JupyterSession, configure: Configure, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> None:
    def refuse(self: object) -> None:
        raise HubError("the embedded hub needs jupyter_server")

    monkeypatch.setattr(EmbeddedHub, "__init__", refuse)
    hub.handler = hub_with(session.launch())
    assert start(configure(hub=[hub.url, "local"]), RunContext(on_event=heard)).hub == hub.url
    assert start(configure(hub=["local", hub.url]), RunContext(on_event=heard)).hub == hub.url
    assert notices(heard) == ["local is passed over: the embedded hub needs jupyter_server"]


def test_the_rate_limit_of_an_earlier_launch_is_remembered(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    hub.handler = hub_with(session.launch())
    with Server(hub_with(session.launch())) as spent:
        told_before = RateLimit(spent.url, 0, 10, round(time.time()) + 600)
        context = RunContext(on_event=heard, recall={spent.url: told_before}.get)
        assert start(configure(hub=[spent.url, hub.url]), context).hub == hub.url
        assert launches(spent) == 0


def test_a_hub_whose_rate_limit_is_reached_is_skipped(hub: Server, configure: Configure, heard: Heard) -> None:
    spent = with_limit(BUILT, event("failed", "no\n", status_code=500), remaining=0, reset_in_s=600)
    hub.handler = hub_with(stream(BUILT, event("failed", "no\n", status_code=500)))
    with Server(hub_with(spent)) as first:
        failure(configure(hub=[first.url, hub.url], retry__attempts=3), RunContext(on_event=heard))
        assert (launches(first), launches(hub)) == (1, 2)
        assert notices(heard) == [f"{first.url} is passed over: it takes no more launches for now"]


def test_a_hub_with_remaining_launches_is_not_skipped(hub: Server, configure: Configure, context: RunContext) -> None:
    left = with_limit(event("failed", "no\n", status_code=500), remaining=1, reset_in_s=600)
    hub.handler = hub_with(stream(event("failed", "no\n", status_code=500)))
    with Server(hub_with(left)) as first:
        failure(configure(hub=[first.url, hub.url], retry__attempts=3), context)
        assert (launches(first), launches(hub)) == (2, 1)


def test_an_expired_rate_limit_is_ignored(hub: Server, configure: Configure, context: RunContext) -> None:
    spent = with_limit(event("failed", "no\n", status_code=500), remaining=0, reset_in_s=-5)
    hub.handler = hub_with(stream(event("failed", "no\n", status_code=500)))
    with Server(hub_with(spent)) as first:
        failure(configure(hub=[first.url, hub.url], retry__attempts=3), context)
        assert (launches(first), launches(hub)) == (2, 1)


# Pauses


def test_a_hub_that_asks_to_wait_does_not_delay_the_others(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    hub.handler = hub_with(LIMITED)
    with Server(hub_with(session.launch())) as other:
        start(configure(hub=[hub.url, other.url], retry__attempts=2, retry__backoff=0.02), RunContext(on_event=heard))
    assert [pause < 1 for pause in pauses(heard)] == [True]


def test_if_every_hub_asks_to_wait_the_earliest_is_awaited(hub: Server, configure: Configure, heard: Heard) -> None:
    hub.handler = hub_with(LIMITED)
    with Server(hub_with(LIMITED)) as other:
        config = configure(hub=[hub.url, other.url], retry__attempts=3, retry__wait=0.3, retry__backoff=0.01)
        failure(config, RunContext(on_event=heard))
        assert (launches(hub), launches(other)) == (2, 1)
    assert [pause == 0.3 for pause in pauses(heard)] == [False, True]


def test_the_pauses_grow_and_vary_by_a_quarter(hub: Server, configure: Configure, heard: Heard) -> None:
    hub.handler = plain(503)
    failure(configure(retry__attempts=4, retry__backoff=0.02), RunContext(on_event=heard))
    assert len(pauses(heard)) == 3
    for number, pause in enumerate(pauses(heard)):
        assert 0.75 <= pause / (0.02 * 2**number) <= 1.25


def test_the_next_attempt_waits_until_the_rate_limit_resets(hub: Server, configure: Configure, heard: Heard) -> None:
    hub.handler = with_limit(event("failed", "no\n", status_code=500), remaining=0, reset_in_s=600)
    failure(configure(retry__attempts=2, retry__wait=0.2), RunContext(on_event=heard))
    assert pauses(heard) == [0.2]


def test_the_reset_time_overrides_the_length_of_the_rate_limit_window(
    hub: Server, configure: Configure, heard: Heard
) -> None:
    spent = with_limit(event("failed", "no\n", status_code=500), remaining=0, reset_in_s=2)
    hub.handler = in_turn(spent, LIMITED)
    failure(configure(retry__attempts=3, retry__wait=60, timeouts__build=60), RunContext(on_event=heard))
    assert all(pause <= 2 for pause in pauses(heard)), "the refusal names 3600 s, the headers before it 2 s"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_respected(hub: Server, configure: Configure, heard: Heard, status: int, form: str) -> None:
    after = "7" if form == "seconds" else formatdate(time.time() + 7, usegmt=True)
    hub.handler = plain(status, Retry_After=after)
    error = failure(configure(retry__attempts=2, retry__wait=0.3), RunContext(on_event=heard))
    assert error.retry_after_s is not None
    assert 5 < error.retry_after_s <= 7
    assert pauses(heard) == [0.3]


@pytest.mark.parametrize("odd", ["soon", "-5", "9" * 400, "1e9", "٣"])
def test_an_invalid_retry_after_is_ignored(hub: Server, configure: Configure, heard: Heard, odd: str) -> None:
    hub.handler = lambda _request, connection: connection.send(
        f"HTTP/1.1 503 x\r\nRetry-After: {odd}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    failure(configure(retry__attempts=2, retry__backoff=0.02), RunContext(on_event=heard))
    assert pauses(heard)[0] < 0.05


# Time limits and possible orphans


def test_the_build_timeout_covers_all_attempts(hub: Server, configure: Configure, heard: Heard) -> None:
    hub.handler = stream(event("waiting", "x\n"), 0.4)
    began = time.monotonic()
    error = failure(configure(retry__attempts=9, timeouts__build=1), RunContext(on_event=heard))
    assert_took_under(time.monotonic() - began, 3)
    assert 1 < launches(hub) <= 3
    assert "timeouts.build = 1s" in error.message


def test_no_pause_exceeds_the_build_timeout(hub: Server, configure: Configure, heard: Heard) -> None:
    hub.handler = plain(503)
    began = time.monotonic()
    error = failure(configure(retry__attempts=3, retry__backoff=60, timeouts__build=5), RunContext(on_event=heard))
    assert_took_under(time.monotonic() - began, 2)
    assert isinstance(error, UnreachableError)
    assert "no time is left for another try: timeouts.build = 5s" in error.message


def test_a_possible_orphan_is_reported_even_if_the_retry_succeeds(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    hub.handler = in_turn(stream(BUILT, 0.1, "reset"), session.launch())
    start(configure(retry__attempts=2), RunContext(on_event=heard))
    warnings = [item.text for item in heard.items if isinstance(item, Message) and item.warning]
    assert warnings == [
        f"A session may be left on {hub.url}. The hub launches it all the same, and stops it when it is idle."
    ]


def test_possible_orphans_are_counted(hub: Server, configure: Configure, context: RunContext) -> None:
    hub.handler = hub_with(stream(BUILT, 0.1, "reset"))
    with Server(hub_with(stream(event("waiting", "x\n")))) as other:
        error = failure(configure(hub=[hub.url, other.url], retry__attempts=3), context)
        assert isinstance(error, LaunchRetryError | UnreachableError)
        assert error.orphaned_sessions == 2
        assert error.hint.startswith(f"2 sessions may be left on {hub.url}. ")


def test_a_possible_orphan_stays_recorded_as_an_unfinished_launch(
    hub: Server, session: JupyterSession, configure: Configure, heard: Heard
) -> None:
    hub.handler = in_turn(stream(BUILT, 0.1, "reset"), session.launch())
    config = configure()
    with pytest.raises(ClinderError):
        up(config, RunContext())
    assert StateFolder(config.state_dir).read().pending is not None
    up(config, RunContext(on_event=heard))
    assert StateFolder(config.state_dir).read().pending is None
    assert any(
        "never finished; if it started a session, the hub will stop that session once it is idle" in text
        for text in notices(heard)
    )


@pytest.mark.parametrize("decided", [event("failed", "no\n", status_code=500), None], ids=["failed", "before built"])
def test_a_launch_without_an_orphan_is_removed_from_the_record(
    hub: Server, configure: Configure, context: RunContext, decided: bytes | None
) -> None:
    hub.handler = stream(BUILT, decided) if decided else stream(event("waiting", "x\n"), "reset")
    config = configure()
    with pytest.raises(ClinderError) as caught:
        up(config, context)
    assert caught.value.orphaned_sessions == 0
    assert StateFolder(config.state_dir).read().pending is None
