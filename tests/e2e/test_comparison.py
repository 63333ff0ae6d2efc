"""The claims of the comparison page about clinder and the official JavaScript client, both against the same hub."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import Done, clinder
from hub.servers import JupyterSession, Server, event, in_turn, stream
from tools import npm_package

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.servers import Handler

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"
CLIENT = "@jupyterhub/binderhub-client@0.5.0"
LAUNCH = Path(__file__).parent / "javascript" / "launch.mjs"
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def modules() -> Path:
    """The folder with the JavaScript client."""
    return npm_package(CLIENT).parent


@pytest.fixture
def session() -> Iterator[JupyterSession]:
    with JupyterSession() as server:
        yield server


def by_clinder(handler: Handler, folder: Path, expect: int = 0) -> Done:
    """Launch with clinder on a hub with this handler."""
    with Server(handler) as hub:
        settings = ["--session-warm", "off", "--retry-backoff", "10ms", "--timeouts-connect", "5s"]
        return clinder(folder, "start", "org/name", "--hub", hub.url, "--json", *settings, expect=expect)


def by_javascript(handler: Handler, modules: Path) -> list[dict[str, Any]]:
    """Launch with the JavaScript client on a hub with this handler, and return the events that it delivers.

    In Node.js, it ends with an unhandled rejection after `failed`, which a web page would not notice; it is ignored.
    """
    with Server(handler) as hub:
        command = ["node", str(LAUNCH), str(modules), f"{hub.url}/build", "gh/org/name/HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0 or "EventStreamClose" in done.stderr or "EventStreamRetry" in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_both_launch(session: JupyterSession, modules: Path, tmp_path: Path) -> None:
    assert by_clinder(session.launch(), tmp_path).document["url"] == session.session_url
    assert by_javascript(session.launch(), modules)[-1]["url"] == session.session_url


def test_only_clinder_retries_a_503_of_the_proxy(session: JupyterSession, modules: Path, tmp_path: Path) -> None:
    def unhealthy() -> Handler:
        return in_turn(lambda _request, connection: connection.html(503), session.launch())

    assert by_clinder(unhealthy(), tmp_path).document["action"] == "launched"
    *_, meant, done = by_javascript(unhealthy(), modules)
    assert meant["message"].startswith("Error connecting to event stream, retrying: 503")
    assert done["phase"] == "failed", "it is meant to retry, but does not recognize its own error"


def test_both_end_after_a_failed_build_whose_stream_stays_open(modules: Path, tmp_path: Path) -> None:
    failed = stream(event("building", "Step 1\n"), event("failed", "No such package\n"), "hold")
    assert by_clinder(failed, tmp_path, expect=5).document["error"]["kind"] == "build-failed"
    assert by_javascript(failed, modules)[-1]["message"] == "No such package\n"


def test_only_clinder_retries_a_launch_that_the_hub_abandoned(
    session: JupyterSession, modules: Path, tmp_path: Path
) -> None:
    def gave_up() -> Handler:
        refused = stream(event("built", "", imageName="i"), event("failed", "Launch failed", status_code=500))
        return in_turn(refused, session.launch())

    assert by_clinder(gave_up(), tmp_path).document["url"] == session.session_url
    assert by_javascript(gave_up(), modules)[-1]["phase"] == "failed"


def test_only_clinder_retries_a_stream_that_ends_early(session: JupyterSession, modules: Path, tmp_path: Path) -> None:
    def cut() -> Handler:
        return in_turn(stream(event("waiting", "Waiting\n")), session.launch())

    assert by_clinder(cut(), tmp_path).document["url"] == session.session_url
    assert by_javascript(cut(), modules)[-1] == {"phase": "failed", "message": "Event stream closed unexpectedly\n"}


def test_only_clinder_shows_a_failure_message_that_arrives_second(modules: Path, tmp_path: Path) -> None:
    bare_first = stream(event("building", ""), event("failed"), 0.1, event("failed", "No such package\n"), "hold")
    assert "No such package" in by_clinder(bare_first, tmp_path, expect=5).document["error"]["message"]
    assert by_javascript(bare_first, modules)[-1] == {"phase": "failed"}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd"])
def test_only_clinder_refuses_a_url_that_is_not_http(
    session: JupyterSession, modules: Path, tmp_path: Path, url: str
) -> None:
    by_clinder(session.launch(url=url), tmp_path, expect=5)
    assert by_javascript(session.launch(url=url), modules)[-1]["url"] == url


def test_only_clinder_checks_that_the_server_answers(modules: Path, tmp_path: Path) -> None:
    with JupyterSession() as session:
        session.mode = "404"
        with Server(session.launch()) as hub:
            options = ["--session-warm", "off", "--retry-attempts", "1", "--timeouts-launch", "3s"]
            done = clinder(tmp_path, "start", "org/name", "--hub", hub.url, *options, expect=None)
        assert done.status in (5, 7)
        assert by_javascript(session.launch(), modules)[-1]["phase"] == "ready"


# The page


def rows() -> list[list[str]]:
    """The rows of the comparison tables: a point, what each tool does, the evidence."""
    found = [line.strip("|").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    return [[cell.strip() for cell in row] for row in found if not row[0].strip().startswith(("point", "---"))]


def test_every_point_has_evidence() -> None:
    assert len(rows()) > 20
    for row in rows():
        assert re.search(r"`test_\w+`|\]\(", row[-1]), row


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))))
def test_every_named_test_exists(name: str) -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    assert any(re.search(rf"^def {name}\(", file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)


def test_links_into_repositories_name_a_commit() -> None:
    for link in re.findall(r"\((https://github\.com/[^)]+/blob/[^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert re.search(r"/blob/[0-9a-f]{40}/", link), link
