"""Fuzzing of everything that parses untrusted data: it is parsed, or refused with an error of clinder."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from clinder.config.loading import load_config
from clinder.config.settings import setting_keys
from clinder.hubs.http_body import ChunkDecoder
from clinder.hubs.sse import EventDecoder, EventTooLargeError
from clinder.model.duration import format_duration, parse_duration
from clinder.model.errors import ClinderError, UsageError
from clinder.model.events import read_events
from clinder.model.providers import PROVIDERS
from clinder.model.repository import RepositorySpec, read_repository
from clinder.model.session import PhaseTime, Session
from clinder.model.session_sources import session_from_uri
from clinder.operations.inspect import preview, status
from clinder.output.documents import state_document, status_document
from clinder.output.text import state_text, status_text
from clinder.state import Pending, Process, State, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324])
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "\x00", "\ud800", "1h", "0001-01-01T00:00:00+14:00", "https://[", "http://h/", "$(id)", "a" * 5000]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)

# The stream

FIELDS = ["phase", "message", "status_code", "progress", "imageName", "url", "token", "binder_persistent_request"]
EVENTS = st.dictionaries(
    st.sampled_from(FIELDS), JSON | st.sampled_from(["ready", "failed", "building", "Built"]), max_size=5
)
PIECES = st.binary(max_size=12) | st.sampled_from([b"data: ", b"data:", b"\n", b"\r", b"\r\n", b":", b"\xef\xbb\xbf"])


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(cut % (len(stream) + 1) for cut in cuts)
    return [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True)]


@given(st.lists(PIECES, max_size=60).map(b"".join), st.lists(st.integers(0, 10**6), max_size=8))
def test_a_stream_reads_the_same_wherever_it_is_split(stream: bytes, cuts: list[int]) -> None:
    whole, split = EventDecoder(), EventDecoder()
    assert [data for piece in pieces_of(stream, cuts) for data in split.feed(piece)] == whole.feed(stream)


@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_no_event_exceeds_the_size_limit(stream: bytes) -> None:
    decoder = EventDecoder(max_event_bytes=30)
    with contextlib.suppress(EventTooLargeError):
        assert all(len(data) <= 30 for data in decoder.feed(stream))


@given(st.lists(st.binary(max_size=40) | EVENTS.map(lambda fields: json.dumps(fields).encode()), max_size=6))
def test_any_event_data_is_parsed_or_refused(batch: list[bytes]) -> None:
    with contextlib.suppress(ValueError):  # the client of the hub converts it to a ClinderError
        read_events(batch)


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\r\n", b"0", b"a", b";x=1", b"-1", b"FFFF"]), max_size=40))
def test_any_bytes_are_a_complete_or_broken_body(pieces: list[bytes]) -> None:
    decoder = ChunkDecoder()
    with contextlib.suppress(ProtocolError):
        for piece in pieces:
            decoder.feed(piece)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.lists(st.integers(0, 10**6), max_size=8))
def test_a_body_round_trips_through_chunked_encoding(chunks: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    decoder = ChunkDecoder()
    assert b"".join(decoder.feed(piece) for piece in pieces_of(wire, cuts)) == b"".join(chunks)
    assert decoder.has_ended


# clinder.toml

KEYS = list(setting_keys())
SETTINGS = st.dictionaries(
    st.sampled_from([*KEYS, *(key.partition(".")[0] for key in KEYS), "hubb", "", "repo.x"]), JSON | TEXTS, max_size=6
)


def toml_document(flat: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in flat.items():
        table, dot, name = key.partition(".")
        where = document.setdefault(table, {}) if dot else document
        if isinstance(where, dict):
            where[name if dot else key] = value
    return document


def load(file: Path) -> None:
    with contextlib.suppress(ClinderError):
        config = load_config(file=file, environment={})
        for key in KEYS:
            config.describe(key)
        if config.link:
            assert config.spec().build_path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "clinder.toml"


@given(content=st.binary(max_size=80) | st.text(alphabet='hub=repo[]"\n.#\\{}1', max_size=60).map(str.encode))
def test_any_file_is_a_configuration_or_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    load(file)


@given(flat=SETTINGS)
def test_any_toml_is_a_configuration_or_refused(file: Path, flat: dict[str, Any]) -> None:
    try:
        text = tomli_w.dumps(toml_document(flat))
        file.write_text(text, encoding="utf-8")
    except (TypeError, ValueError, AttributeError):  # TOML has no null and no lone surrogates
        return
    load(file)


@given(options=SETTINGS, environment=st.dictionaries(st.sampled_from(["CLINDER_HUB", "CLINDER_REPO"]), TEXTS))
def test_any_options_and_variables_are_a_configuration_or_refused(
    options: dict[str, Any], environment: dict[str, str]
) -> None:
    with contextlib.suppress(ClinderError):
        load_config(options=options, environment=environment)


# state.json

SESSION = Session(
    url="http://127.0.0.1:9/user/x/",
    token="hunter2",
    hub="http://127.0.0.1:9",
    provider="gh",
    repo="org/name",
    ref="main",
    phases=(PhaseTime(phase="waiting", seconds=1.5),),
)
PENDING = Pending(hub="h", provider="gh", repo="o/n", ref="main", process=Process.current("up"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StateFolder:
    made = StateFolder(tmp_path_factory.mktemp("state") / ".clinder")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> str:
    other = StateFolder(tmp_path_factory.mktemp("good") / ".clinder")
    other.write(State(session=SESSION, retired=(SESSION,), pending=PENDING))
    return other.file.read_text()


def use(folder: StateFolder) -> None:
    """Read the state and use it in every way, including observing its sessions."""
    before = folder.file.read_bytes()
    options = {"hub": "http://127.0.0.1:9", "repo": "org/name", "timeouts.connect": 0.2, "retry.attempts": 1}
    config = load_config(options=options, environment={}, state_dir=folder.path)
    with contextlib.suppress(ClinderError):
        state = folder.read()
        json.dumps(state_document(state, with_token=True))
        state_text(state)
        seen = status(config)
        json.dumps(status_document(seen, with_token=True))
        status_text(seen)
        preview(config)
    assert folder.file.read_bytes() == before


@given(content=st.binary(max_size=80) | JSON.map(lambda document: json.dumps(document).encode()))
def test_any_file_is_a_state_or_refused(folder: StateFolder, content: bytes) -> None:
    folder.file.write_bytes(content)
    use(folder)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every key and index of a document, with its container."""
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for key, value in inside:
        found.append((document, key))
        if isinstance(value, dict | list):
            found.extend(places(value))
    return found


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), JSON), min_size=1, max_size=3))
def test_a_state_with_arbitrary_values_is_valid_or_refused(
    folder: StateFolder, good: str, changes: list[tuple[int, Any]]
) -> None:
    document = json.loads(good)
    for number, value in changes:
        where = places(document)
        owner, key = where[number % len(where)]
        owner[key] = value
    folder.file.write_text(json.dumps(document))
    use(folder)


@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_a_corrupted_or_truncated_state_is_valid_or_refused(
    folder: StateFolder, good: str, at: int, byte: int, cut: bool
) -> None:
    content = bytearray(good.encode())
    at %= len(content)
    folder.file.write_bytes(content[:at] if cut else content[:at] + bytes([byte]) + content[at + 1 :])
    use(folder)


# Round trips

WORDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,10}", fullmatch=True)
REFS = st.lists(
    st.from_regex(r"[A-Za-z0-9_#%+=&;é][A-Za-z0-9_#%+=&;é-]{0,8}", fullmatch=True), min_size=1, max_size=3
).map("/".join)


@st.composite
def specs(draw: st.DrawFn) -> RepositorySpec:
    provider = draw(st.sampled_from(list(PROVIDERS)))
    org, name = draw(WORDS), draw(WORDS)
    number = draw(st.integers(1, 10**7))
    repo = {
        "gh": f"{org}/{name}",
        "gist": f"{org}/{number:x}",
        "gl": f"{org}/sub/{name}",
        "git": f"https://git.example.org/{org}/{name}?x=1&y=%20",
        "zenodo": f"10.5281/zenodo.{number}",
        "figshare": f"10.6084/m9.figshare.{number}.v1",
        "hydroshare": f"{number:032x}",
        "dataverse": f"10.7910/DVN/{org.upper()}",
        "ckan": f"https://ckan.example.org/dataset/{name}",
    }[provider]
    return RepositorySpec(provider, repo, draw(REFS) if PROVIDERS[provider].takes_ref else "")


@given(specs())
def test_a_spec_round_trips_through_path_and_link(spec: RepositorySpec) -> None:
    assert RepositorySpec.from_build_path(spec.build_path) == spec
    link = read_repository(f"https://hub.example.org/binder/v2/{spec.build_path}?urlpath=lab%2Ftree%2Fa.ipynb")
    assert (link.spec(), link.hub, link.path) == (spec, "https://hub.example.org/binder", "lab/tree/a.ipynb")


@given(specs())
def test_a_spec_round_trips_through_the_file(spec: RepositorySpec) -> None:
    assert read_repository(f"{spec.provider}:{spec.repo}").spec(spec.ref) == spec


@given(WORDS, WORDS, REFS)
def test_a_branch_round_trips_through_its_web_page(org: str, name: str, ref: str) -> None:
    link = read_repository(f"https://github.com/{org}/{name}/tree/{quote(ref)}")
    assert link.spec() == RepositorySpec("gh", f"{org}/{name}", ref)


@given(st.integers(0, 365 * 24 * 3600 * 1000))
def test_a_duration_round_trips(milliseconds: int) -> None:
    from datetime import timedelta

    duration = timedelta(milliseconds=milliseconds)
    rounded = duration if duration < timedelta(minutes=1) else timedelta(seconds=round(duration.total_seconds()))
    assert parse_duration(format_duration(duration)) == rounded


@given(TEXTS | st.text(alphabet="0123456789.dhms e+-", max_size=12) | NUMBERS)
def test_any_duration_is_parsed_or_refused(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(value).total_seconds() >= 0


@given(TEXTS | st.text(alphabet="htps:/[]@?token=x#%\\", max_size=40))
def test_any_uri_is_a_session_or_refused(uri: str) -> None:
    with contextlib.suppress(UsageError):
        session = session_from_uri(uri)
        assert session_from_uri(session.uri).url == session.url
