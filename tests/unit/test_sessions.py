from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.model.errors import LaunchError, UsageError
from clinder.model.events import Event, Phase
from clinder.model.repository import RepositorySpec
from clinder.model.session import Session, check_token, check_url
from clinder.model.session_sources import session_from_ready, session_from_uri

SHA = "e67fba914dc26d54ddd5ead705f9e792eb67d6a9"
SPEC = RepositorySpec("gh", "org/name", "main")
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)


def from_ready(**details: object) -> Session:
    fields = {"url": "https://hub.example.org/user/x/", "token": "abc", **details}
    event = Event(Phase.READY, image="r/x:1", details=fields)
    return session_from_ready(event, hub="https://h.example.org", spec=SPEC, launched_at=NOW, phases=())


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://hub.example.org/user/x", "https://hub.example.org/user/x/"),
        ("https://hub.example.org/user/x///", "https://hub.example.org/user/x/"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
        ("http://[::1]:8000/user/x/", "http://[::1]:8000/user/x/"),
        ("https://hub.example.org", "https://hub.example.org/"),
        ("https://hub.example.org/user/a%20b/", "https://hub.example.org/user/a%20b/"),
    ],
)
def test_a_servers_url_ends_in_one_slash(url: str, checked: str) -> None:
    assert check_url(url) == checked


@pytest.mark.parametrize(
    "url",
    [
        None,
        5,
        "",
        "/user/x/",
        "hub.example.org/user/x",
        "ftp://hub.example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///user/x",
        "https://user@hub.example.org/",
        "https://user:secret@hub.example.org/",
        "https://@hub.example.org/",
        "https://hub.example.org/\r\nX: y",
        "https://hub.example.org/ x",
        "https://hub.example.org/\x1b[0m",
        "https://hub.example.org/\u202e",
        "https://h\u00fcb.example.org/",
        "https://hub.example.org/$(id)",
        "https://hub.example.org/`id`",
        "https://hub.example.org/'x",
        'https://hub.example.org/"x',
        "https://hub.example.org\\@evil.example.org/",
        "https://hub.example.org:x/",
        "https://hub.example.org:99999/",
        "https://[hub.example.org/",
        "https://hub.example.org/?token=x",
        "https://hub.example.org/#x",
    ],
)
def test_an_unsafe_server_url_is_refused(url: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the reasons differ
        check_url(url)


@pytest.mark.parametrize("token", [None, 5, "", " ", "a b", "a\nb", "a\r\nX-Evil: 1", "t\u00f6ken", "\x1b", "a\x00"])
def test_an_unprintable_token_is_refused_without_showing_it(token: object) -> None:
    with pytest.raises(ValueError, match=r"^it has no token$|^its token contains unprintable characters$"):
        check_token(token)


def test_a_ready_event_gives_a_session() -> None:
    session = from_ready(
        binder_persistent_request=f"v2/gh/org/name/{SHA}", binder_ref_url=f"https://github.com/org/name/tree/{SHA}"
    )
    assert (session.url, session.token) == ("https://hub.example.org/user/x/", "abc")
    assert (session.provider, session.repo, session.ref, session.resolved_ref) == ("gh", "org/name", "main", SHA)
    assert session.ref_url == f"https://github.com/org/name/tree/{SHA}"
    assert session.image == "r/x:1"


@pytest.mark.parametrize(
    "value", [None, 5, "", "v2/", "v2/nope/x", "v2/gh/x", "nonsense", "v2/gh/org/name/a\nb", ["x"]]
)
def test_a_missing_commit_is_empty(value: object) -> None:
    assert from_ready(binder_persistent_request=value).resolved_ref in ("", "HEAD")


def test_ready_without_a_usable_url_fails_the_launch() -> None:
    with pytest.raises(LaunchError, match="the hub reported ready, but its session cannot be used: it has no URL"):
        from_ready(url=None)


def test_ready_with_an_invalid_token_fails_without_showing_it() -> None:
    with pytest.raises(LaunchError) as caught:
        from_ready(token="sec ret")
    assert "sec" not in caught.value.message.replace("session", "")


def test_the_token_never_shows_in_repr_or_str() -> None:
    session = Session(url="http://h/", token="hunter2")
    assert "hunter2" not in f"{session!r} {session!s}"


@pytest.mark.parametrize(
    "uri",
    [
        "https://hub.example.org/user/x/?token=abc",
        " https://hub.example.org/user/x/?token=abc\n",
        "https://hub.example.org/user/x?token=abc",
        "https://hub.example.org/user/x/lab?token=abc",
        "https://hub.example.org/user/x/lab/tree/a.ipynb?reset&token=abc#x",
        "https://hub.example.org/user/x/tree/?token=abc",
        "https://hub.example.org/user/x/notebooks/a.ipynb?token=abc",
    ],
)
def test_the_address_in_a_browser_is_a_session_uri(uri: str) -> None:
    session = session_from_uri(uri)
    assert (session.url, session.token) == ("https://hub.example.org/user/x/", "abc")


@pytest.mark.parametrize("name", ["lab", "tree", "doc", "notebooks"])
def test_a_user_name_that_looks_like_a_page_is_kept(name: str) -> None:
    url = f"https://hub.example.org/user/{name}/"
    assert session_from_uri(f"{url}?token=abc").url == url


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "abc",
        "https://hub.example.org/user/x/",
        "https://hub.example.org/user/x/?token=",
        "https://hub.example.org/user/x/?tok=abc",
        "ftp://hub.example.org/?token=abc",
        "https://[/?token=hunter2",
        "https://hub.example.org:x/?token=hunter2",
        "https://hub.example.org/<x>?token=hunter2",
        "https://hub.example.org/?token=hunter2%0a",
        "//?token=hunter2",
    ],
)
def test_an_invalid_uri_is_refused_without_showing_the_token(uri: str) -> None:
    with pytest.raises(UsageError, match="this is not the URI of a session") as caught:
        session_from_uri(uri)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.__cause__ is None


@given(
    st.sampled_from(["http", "https"]),
    st.sampled_from(["hub.example.org", "127.0.0.1:8000", "[::1]:80"]),
    st.from_regex(r"[A-Za-z0-9._~-]{1,12}", fullmatch=True),
    st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
)
def test_a_session_round_trips_through_its_uri(scheme: str, host: str, name: str, token: str) -> None:
    session = Session(url=f"{scheme}://{host}/user/{quote(name)}/", token=token)
    again = session_from_uri(session.uri)
    assert (again.url, again.token) == (session.url, session.token)


def test_a_session_without_a_path_round_trips_through_its_uri() -> None:
    session = Session(url="http://127.0.0.1:41000/", token="abc")
    assert session_from_uri(session.uri).url == session.url


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x/?token=hunter2",
        "http://127.0.0.1/x y?token=hunter2",
        "http://me:hunter2@127.0.0.1/x y",
        "ftp://me:hunter2@127.0.0.1/",
        "http://127.0.0.1/#hunter2",
    ],
)
def test_the_error_for_a_url_omits_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="its URL") as caught:
        check_url(url)
    assert "hunter2" not in str(caught.value)
