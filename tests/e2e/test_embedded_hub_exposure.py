"""Access to a session of the embedded hub: only from this machine, only with the token, and from no other web page."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import requests
import websocket
from embedded import LIMIT_S, Session, environment_variables, eventually, launched, processes_of

from clinder.localhub.sessions import stop
from clinder.model.providers import LOCAL
from clinder.model.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVIL = "https://evil.example.org"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def session(place: Path) -> Iterator[Session]:
    """A session with a kernel, for all tests that change nothing."""
    with environment_variables(place):
        folder = place / "cookbook"
        folder.mkdir()
        _, session = launched(RepositorySpec(LOCAL, str(folder)))
        assert session.post("api/kernels").status_code == 201
        yield session
        assert stop(session.url, 10)


def ask(session: Session, path: str = "api/status", *, method: str = "GET", **headers: str) -> requests.Response:
    return requests.request(method, session.url + path, headers=headers, timeout=LIMIT_S, allow_redirects=False)


def with_token(session: Session) -> str:
    return f"token {session.token}"


def test_the_server_and_its_kernels_only_listen_on_the_loopback(session: Session, place: Path) -> None:
    def listening() -> list[str]:
        return [
            connection.laddr.ip
            for process in processes_of(place / "cache")
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]

    eventually(lambda: len(listening()) > 1, "the kernel listens")
    assert set(listening()) == {"127.0.0.1"}


def test_it_is_not_reachable_at_another_address_of_this_machine(session: Session) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    with socket.socket() as client:
        assert address.startswith("127.") or client.connect_ex((address, urlsplit(session.url).port or 0)) != 0


@pytest.mark.parametrize(
    "path", ["api/status", "api/kernels", "api/contents", "tree", "lab", "files/x", "api/terminals"]
)
def test_nothing_is_disclosed_without_the_token(session: Session, path: str) -> None:
    assert ask(session, path).status_code in (302, 403, 404, 405)
    assert ask(session, path, Authorization="token wrong").status_code in (302, 403, 404, 405)


@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.example.org", "localhost.example.org:80"])
def test_another_host_name_is_refused_even_with_the_token(session: Session, host: str) -> None:
    """A page that resolves its own name to 127.0.0.1 (DNS rebinding) sends that name."""
    answer = ask(session, Host=host, Authorization=with_token(session))
    assert answer.status_code == 403
    assert "started" not in answer.text


def test_other_web_pages_cannot_read_its_answers(session: Session) -> None:
    """Answers to requests with the token are readable: a page that has the token has the session anyway."""
    browser = requests.Session()
    browser.get(f"{session.url}tree?token={session.token}", timeout=LIMIT_S)
    answer = browser.get(f"{session.url}api/status", headers={"Origin": EVIL}, timeout=LIMIT_S)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Origin" not in ask(session, Origin=EVIL).headers


def test_other_web_pages_cannot_use_the_cookie_of_the_browser(session: Session) -> None:
    browser = requests.Session()
    assert browser.get(f"{session.url}tree?token={session.token}", timeout=LIMIT_S).status_code in (200, 404)
    assert browser.get(f"{session.url}api/status", timeout=LIMIT_S).status_code == 200, "the cookie is not accepted"
    for headers in ({"Origin": EVIL}, {"Referer": f"{EVIL}/"}):
        for method, path in (("POST", "api/kernels"), ("POST", "api/shutdown")):
            answer = browser.request(method, session.url + path, headers=headers, timeout=LIMIT_S)
            assert answer.status_code in (403, 404), (method, path, headers)
    assert browser.get(f"{session.url}api/status", timeout=LIMIT_S).status_code == 200


def test_other_web_pages_cannot_connect_to_a_kernel(session: Session) -> None:
    kernel = session.get("api/kernels").json()[0]["id"]
    browser = requests.Session()
    browser.get(f"{session.url}tree?token={session.token}", timeout=LIMIT_S)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    address = f"{session.url}api/kernels/{kernel}/channels".replace("http://", "ws://")
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        websocket.create_connection(address, cookie=cookie, origin=EVIL, timeout=LIMIT_S)
    own = session.url.partition("/user/")[0]
    websocket.create_connection(address, cookie=cookie, origin=own, timeout=LIMIT_S).close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes; the profile folder already belongs to the user")
def test_other_users_can_neither_read_nor_change_its_files(session: Session, place: Path) -> None:
    (folder,) = (place / "cache" / "sessions").glob("*/")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for kind in ("config", "runtime", "data"):
        found = [path for path in (folder / kind).rglob("*") if path.exists()]
        assert found, kind
        for path in found:
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((folder / "server.log").stat().st_mode) == 0o600
    assert session.token not in (folder / "server.log").read_text()
