"""`hub serve` responds like a BinderHub, and can simulate the failures of a real one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
import websocket
from commands import CLINDER, clinder
from embedded import (
    LIMIT_S,
    Session,
    cache,
    checkout,
    cloned,
    commit,
    environment_variables,
    eventually,
    git,
    phases,
    processes_of,
    run_python,
)
from hub_process import SERVE, HubProcess, serving, write_broken_server
from pace import assert_took_under

from clinder.localhub.http import ServeOptions, serve
from clinder.model.errors import HubError
from clinder.model.events import Phase
from clinder.model.providers import PROVIDERS
from clinder.model.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["cache"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return checkout(tmp_path / "cookbook", where__txt="main\n")


@pytest.fixture
def hub(cache: Path) -> Iterator[HubProcess]:
    with serving() as hub:
        yield hub


@pytest.fixture(scope="module")
def idle_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub for all tests that launch nothing."""
    with environment_variables(tmp_path_factory.mktemp("idle")), serving() as hub:
        yield hub


def test_the_first_launch_builds_and_the_second_finds_the_image(hub: HubProcess, repository: Path) -> None:
    first = hub.build(cloned(repository))
    session = first.session()
    assert phases(first.events) == [Phase.WAITING, None, Phase.FETCHING, Phase.BUILT, Phase.LAUNCHING, Phase.READY]
    assert first.keepalives > 0, "they come from the request on"
    kept = first.keepalives
    first.rest()
    assert first.keepalives > kept, "the stream stays open past ready"
    assert first.response.headers["Access-Control-Allow-Origin"] == "*"
    assert first.response.headers["Cache-Control"] == "no-cache"
    details = first.events[-1].details
    head = git(repository, "rev-parse", "HEAD")
    assert details["url"].startswith(f"{hub.url}/user/")
    assert details["binder_launch_host"] == f"{hub.url}/"
    assert details["binder_persistent_request"] == f"v2/{cloned(repository, head).build_path}"
    second = hub.build(cloned(repository))
    other = second.session()
    kept = second.keepalives
    assert phases(second.rest()) == [Phase.BUILT, Phase.LAUNCHING, Phase.READY]
    assert second.keepalives == kept
    assert other.url != session.url, "each request makes a server of its own"
    assert {each.get("api/status").status_code for each in (session, other)} == {200}


def execute(session: Session, code: str) -> str:
    """Run code in a new kernel over a WebSocket, and return its output."""
    kernel = session.post("api/kernels").json()["id"]
    url = session.url.replace("http://", "ws://") + f"api/kernels/{kernel}/channels"
    connection = websocket.create_connection(url, header=[f"Authorization: token {session.token}"], timeout=LIMIT_S)
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "s", "version": "5.4"}
    request = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell"}
    connection.send(json.dumps(request | {"content": {"code": code, "silent": False}}))
    printed = ""
    while True:
        message: dict[str, Any] = json.loads(connection.recv())
        if message["parent_header"].get("msg_id") != "1":
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            connection.close()
            return printed


def test_a_session_works_through_the_proxy(hub: HubProcess, repository: Path) -> None:
    session = hub.build(cloned(repository)).session()
    assert execute(session, "import os; print(sorted(os.listdir()))") == "['.git', 'where.txt']\n"
    large = "x" * 3_000_000
    saved = requests.put(
        f"{session.url}api/contents/large.txt",
        headers=session.headers,
        json={"type": "file", "format": "text", "content": large},
        timeout=LIMIT_S,
    )
    assert saved.status_code == 201
    assert session.text("large.txt") == large
    wrong = Session(session.url, "wrong").get("api/status")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (403, "application/json")


def test_one_connection_reaches_two_sessions(hub: HubProcess, repository: Path) -> None:
    sessions = [hub.build(cloned(repository)).session() for _ in range(2)]
    with requests.Session() as client:
        for session in (*sessions, *sessions):
            answer = client.get(f"{session.url}api/status", headers=session.headers, timeout=LIMIT_S)
            assert answer.status_code == 200
            assert client.get(f"{hub.url}/versions", timeout=LIMIT_S).status_code == 200


@pytest.mark.parametrize("gone_as", ["jupyterhub", "mybinder"])
def test_an_ended_session_answers_as_on_a_real_hub(repository: Path, gone_as: str, cache: Path) -> None:
    with serving(gone_as=gone_as, poll_s=4.0) as hub:
        session = hub.build(cloned(repository)).session()
        assert session.post("api/shutdown").status_code == 200
        eventually(lambda: session.get("api/status").status_code == 503, "the proxy finds no server")
        eventually(lambda: session.get("api/status").status_code != 503, "the hub has polled")
        got, posted = session.get("api/status"), session.post("api/shutdown")
        if gone_as == "mybinder":
            assert (got.status_code, posted.status_code) == (424, 424)
        else:
            followed = requests.get(f"{session.url}api/status", timeout=LIMIT_S)
            assert got.status_code == 302
            assert got.headers["Connection"] == "close", "the connection cannot be used again"
            assert [answer.status_code for answer in followed.history] == [302, 302]
            assert "/hub/login?next=" in followed.url
            assert (followed.status_code, posted.status_code) == (403, 403)
            assert followed.headers["Content-Type"].startswith("text/html")
        assert posted.headers["Content-Type"].startswith("text/html")
        assert list((cache / "sessions").iterdir()) == [], "its working copy is removed"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nope/org/repo/HEAD", "No provider found for prefix nope\n"),
        ("zenodo/10.5281/zenodo.3242074", "No provider found for prefix zenodo\n"),
        (
            "gh/fake/cached-a",
            'Spec is not of the form "user/repo/ref", provided: "fake/cached-a". Did you mean "fake/cached-a/HEAD"?\n',
        ),
        ("gh/fake", 'Spec is not of the form "user/repo/ref", provided: "fake".\n'),
    ],
)
def test_errors_in_the_spec_are_sent_in_the_stream(idle_hub: HubProcess, path: str, message: str) -> None:
    (event,) = idle_hub.build(path).rest()
    assert (event.phase, event.message, event.status_code) == (Phase.FAILED, message, None)


def test_an_unknown_ref_fails_in_the_stream(idle_hub: HubProcess, repository: Path) -> None:
    (event,) = idle_hub.build(cloned(repository, "nope")).rest()
    assert event.message.startswith(f"Could not resolve ref for git:{repository.as_uri()}/nope. Double check")


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream, */*;q=0.5"])
def test_another_accept_header_is_refused(idle_hub: HubProcess, accept: str) -> None:
    (event,) = idle_hub.build("gh/org/repo/HEAD", Accept=accept).rest()
    assert (event.phase, event.status_code) == (Phase.FAILED, 400)


def test_a_wrong_build_token_is_refused_and_not_counted(repository: Path) -> None:
    with serving(build_token="right", rate_limit=1) as hub:
        for query in ("", "?build_token=wrong"):
            stream = hub.build("gh/org/repo", query=query)
            (event,) = stream.rest()
            assert (event.message, event.status_code) == ("Invalid build token\n", 403)
            assert "X-Ratelimit-Limit" not in stream.response.headers
        (event,) = hub.build(cloned(repository, "nope"), query="?build_token=right").rest()
        assert "Could not resolve ref" in event.message


def test_the_rate_limit_is_reported_and_counts_failures_too(cache: Path) -> None:
    with serving(rate_limit=2) as hub:
        streams = [hub.build("gh/org") for _ in range(3)]
        for stream in streams:
            stream.rest()
    assert [stream.response.headers.get("X-Ratelimit-Remaining") for stream in streams] == ["1", "0", None]
    assert streams[0].response.headers["X-Ratelimit-Limit"] == "2"
    reset_s = int(streams[0].response.headers["X-Ratelimit-Reset"]) - time.time()
    assert 3500 < reset_s <= 3600
    (event,) = streams[2].events
    assert (event.status_code, event.message) == (429, "Rate limit exceeded. Try again in 3600 seconds.\n")


def test_the_quota_fails_a_launch_after_built(repository: Path) -> None:
    with serving(quota=1) as hub:
        first = hub.build(cloned(repository)).session()
        assert hub.get("/health").json()["checks"][-1]["user_pods"] == 1
        built, failed = hub.build(cloned(repository)).rest()
        assert built.phase is Phase.BUILT
        assert failed.message == "Too many users on this BinderHub! Try again soon.\n"
        assert (failed.phase, failed.status_code) == (Phase.FAILED, None)
        first.post("api/shutdown")
        eventually(lambda: hub.get("/health").json()["checks"][-1]["user_pods"] == 0, "there is room again")
        hub.build(cloned(repository)).session()


def test_a_banned_repository_is_refused(repository: Path) -> None:
    with serving(banned=["^evil/.*"]) as hub:
        (event,) = hub.build("gh/evil/repo/HEAD").rest()
    assert event.message.startswith("Sorry, evil/repo/HEAD is not allowed to launch.")


def test_a_failed_build_sends_three_failures_and_leaves_the_stream_open(hub: HubProcess, tmp_path: Path) -> None:
    repository = checkout(tmp_path / "broken", requirements__txt="./there-is-no-such-folder\n")
    stream = hub.build(cloned(repository))
    stream.until(Phase.FAILED)
    assert stream.events[-1].message == ""
    stream.until(Phase.FAILED, "Error during build: The command ")
    stream.until(Phase.FAILED)
    assert [event.phase for event in stream.events[-4:]] == [
        Phase.FAILED,
        Phase.BUILDING,
        Phase.FAILED,
        Phase.FAILED,
    ]
    kept = stream.keepalives
    for _ in stream.lines():
        if stream.keepalives > kept + 4:
            break
    assert not stream.ended, "longer than a stream lingers after a build"


def test_a_failed_launch_is_attempted_four_times(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(write_broken_server(tmp_path)))
    with serving(launch_retries_s=[0.01, 0.02, 0.03]) as hub:
        events = hub.build(cloned(repository)).rest()
    retries = [event.message for event in events if "retrying" in event.message]
    assert retries == [f"Launch attempt {number} failed, retrying...\n" for number in (1, 2, 3)]
    assert [event.phase for event in events].count(Phase.FAILED) == 1
    assert (events[-1].phase, events[-1].status_code) == (Phase.FAILED, 500)
    assert "pretend the pod could not be scheduled" in events[-1].message


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose build prints 150 lines and then waits for a file named `go`."""
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "mamba"
    lines = "i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo line $i; done"
    tool.write_text(f"#!/bin/sh\n{lines}\nwhile [ ! -e {tools}/go ]; do sleep 0.05; done\necho enough; exit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return checkout(tmp_path / "slow", environment__yml="dependencies: [python]\n")


def test_a_build_continues_without_its_client_for_the_next_one(slow: Path, tmp_path: Path, cache: Path) -> None:
    with serving() as hub:
        first = hub.build(cloned(slow))
        first.until(Phase.BUILDING, "line 150\n")
        first.leave()
        assert processes_of(tmp_path / "tools")
        second = hub.build(cloned(slow))
        second.until(Phase.BUILDING, "line 150\n")
        heard = [event.message for event in second.events if event.message.startswith("line")]
        assert heard == [f"line {number}\n" for number in range(51, 151)]
        assert hub.get("/health").json()["checks"][-1]["build_pods"] == 1
        (tmp_path / "tools" / "go").touch()
        second.until(Phase.FAILED, "Error during build")
        second.leave()
        assert not list((cache / "servers").glob("*.json")), "nothing was launched"


def test_ending_the_hub_ends_its_builds(slow: Path, tmp_path: Path) -> None:
    with serving() as hub:
        hub.build(cloned(slow)).until(Phase.BUILDING, "line 150\n")
        assert hub.end(signal.SIGTERM) == 0
        assert not processes_of(tmp_path)


def test_a_server_is_launched_even_if_the_client_disconnects_at_built(
    hub: HubProcess, repository: Path, cache: Path
) -> None:
    stream = hub.build(cloned(repository))
    stream.until(Phase.BUILT)
    stream.leave()
    eventually(lambda: hub.get("/health").json()["checks"][-1]["user_pods"] == 1, "the server is launched")
    assert processes_of(cache / "sessions")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_hub_its_sessions_and_streams(repository: Path, cache: Path, number: int) -> None:
    with serving(linger_s=600.0) as hub:
        stream = hub.build(cloned(repository))
        session = stream.session()
        session.post("api/kernels")
        eventually(lambda: len(processes_of(cache / "sessions")) >= 2, "server and kernel are running")
        started = time.monotonic()
        assert hub.end(number) == 0
        assert_took_under(time.monotonic() - started, 20)
        stream.rest()
        assert not processes_of(cache)
        assert list((cache / "sessions").iterdir()) == []


def test_the_sessions_of_a_killed_hub_end(repository: Path, cache: Path) -> None:
    process = run_python(SERVE, "{}")
    assert process.stdout is not None
    hub = HubProcess(process, process.stdout.readline().strip())
    session = hub.build(cloned(repository)).session()
    assert session.post("api/kernels").status_code == 201
    process.kill()
    process.communicate()
    eventually(lambda: not processes_of(cache), "the server and its kernel have ended")


def test_a_hub_under_nohup_ignores_hangups(tmp_path: Path) -> None:
    command = f"trap '' HUP; exec {CLINDER} hub serve --port 0"
    with subprocess.Popen(["sh", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert found
        process.send_signal(signal.SIGHUP)
        for _ in range(3):
            assert requests.get(f"{found[0]}/versions", timeout=LIMIT_S).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--poll", "0", "--poll: expected a duration greater than zero, got '0'"),
        ("--keepalive", "0ms", "--keepalive: expected a duration greater than zero, got '0ms'"),
        ("--ban", "(", "--ban: '(' is not a valid regular expression: missing )"),
        ("--ban", "a{99999999999999999999}", "is not a valid regular expression"),
    ],
)
def test_invalid_options_are_refused(tmp_path: Path, option: str, value: str, words: str) -> None:
    assert words in clinder(tmp_path, "hub", "serve", "--port", "0", option, value, expect=2).stderr


def test_a_signal_during_a_launch_leaves_no_process(repository: Path, cache: Path) -> None:
    with serving() as hub:
        hub.build(cloned(repository)).until(Phase.LAUNCHING)
        eventually(lambda: processes_of(cache / "sessions"), "the server is being started")
        assert hub.end(signal.SIGTERM) == 0
        assert not processes_of(cache)


def test_a_federation_front_redirects_launches_to_a_member(repository: Path) -> None:
    with serving(redirect=True) as hub:
        path = f"/build/{cloned(repository).build_path}"
        answer = hub.get(f"{path}?build_token=x", Accept="text/event-stream")
        assert answer.status_code == 307
        location = answer.headers["Location"]
        assert not location.startswith(hub.url)
        assert location.endswith(f"{path}?build_token=x")
        assert f"Path={path}" in answer.headers["Set-Cookie"]
        stream = hub.stream(hub.url + path)
        assert stream.response.url.startswith(location.partition("/build/")[0])
        assert stream.session().get("api/status").status_code == 200


def test_the_other_endpoints_answer_as_a_hub(idle_hub: HubProcess) -> None:
    health = idle_hub.get("/health")
    assert (health.status_code, health.json()["ok"]) == (200, True)
    assert set(idle_hub.get("/versions").json()) == {"builder_info", "binderhub", "builder"}
    providers = [provider["id"] for provider in idle_hub.get("/api/repoproviders").json()]
    assert providers == ["gh", "gist", "gl", "git"]
    assert set(providers) < set(PROVIDERS)
    for path in ("/", "/build/gh/", "/build/", "/no/such/path", "/_config"):
        page = idle_hub.get(path)
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=UTF-8"), path
    assert requests.head(f"{idle_hub.url}/health", timeout=LIMIT_S).status_code == 200


def test_health_is_503_with_the_same_json_if_something_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("where the cache should be")
    monkeypatch.setenv("CLINDER_CACHE_DIR", str(tmp_path / "file"))
    with serving() as hub:
        health = hub.get("/health")
    assert (health.status_code, health.json()["ok"]) == (503, False)
    assert {"service": "Cache folder", "ok": False} in health.json()["checks"]


@pytest.mark.parametrize("path", ["/", "/versions", "/build/gh/org/repo/HEAD", "/user/a/api/status"])
def test_requests_to_other_host_names_are_refused(idle_hub: HubProcess, path: str) -> None:
    assert idle_hub.get(path, Host="rebound.example.org", Accept="text/event-stream").status_code == 403
    port = idle_hub.url.rpartition(":")[2]
    assert idle_hub.get("/versions", Host=f"localhost:{port}").status_code == 200


def test_pages_from_other_machines_may_not_launch(idle_hub: HubProcess, repository: Path) -> None:
    spec = cloned(repository, "nope")
    for headers in ({"Origin": "https://example.org"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        (event,) = idle_hub.build(spec, **headers).rest()
        assert event.status_code == 403, headers
    (event,) = idle_hub.build(spec, Origin="http://localhost:3000").rest()
    assert "Could not resolve ref" in event.message


def test_it_only_listens_on_the_loopback_interface(idle_hub: HubProcess) -> None:
    port = int(idle_hub.url.rpartition(":")[2])
    address = socket.gethostbyname(socket.gethostname())
    if address.startswith("127."):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
    with socket.socket() as client:
        assert client.connect_ex((address, port)) != 0


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HubError, match=f"cannot listen on 127.0.0.1:{port}"):
            serve(ServeOptions(port=port), ready=lambda url: None)


def test_many_clients_can_launch_at_once(hub: HubProcess, repository: Path) -> None:
    streams = [hub.build(cloned(repository)) for _ in range(4)]
    sessions = [stream.session() for stream in streams]
    assert len({session.url for session in sessions}) == 4
    assert [session.get("api/status").status_code for session in sessions] == [200] * 4


def test_a_new_commit_is_a_new_image(hub: HubProcess, repository: Path) -> None:
    first = hub.build(cloned(repository)).until(Phase.BUILT)
    commit(repository, where__txt="later\n")
    stream = hub.build(RepositorySpec("git", repository.as_uri(), "main"))
    assert stream.until(Phase.BUILT).image != first.image
    assert stream.session().text("where.txt") == "later\n"
