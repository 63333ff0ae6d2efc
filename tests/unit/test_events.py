from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.model.events import Event, LayerProgress, Phase


def read(**fields: object) -> Event:
    return Event.from_json(json.dumps(fields))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_is_known(phase: Phase) -> None:
    assert read(phase=phase.value).phase is phase


def test_a_capitalised_phase_is_recognized() -> None:
    assert read(phase="Built").phase is Phase.BUILT


def test_an_absent_phase_is_none() -> None:
    assert read(message="Picked Git content provider.\n").phase is None


@pytest.mark.parametrize("phase", ["deploying", "", 7, [], {}])
def test_an_unrecognized_phase_is_unknown(phase: object) -> None:
    assert read(phase=phase).phase is Phase.UNKNOWN


def test_an_absent_message_is_empty() -> None:
    assert read(phase="failed").message == ""


@pytest.mark.parametrize(("message", "text"), [(5, "5"), (["a"], '["a"]'), ({"a": 1}, '{"a": 1}'), (None, "")])
def test_a_message_that_is_not_a_string_is_shown_as_json(message: object, text: str) -> None:
    assert read(phase="failed", message=message).message == text


@pytest.mark.parametrize(
    ("given_code", "status_code"), [(429, 429), ("429", 429), (None, None), ("soon", None), (True, None), (1.5, None)]
)
def test_a_status_code_is_a_number_or_nothing(given_code: object, status_code: int | None) -> None:
    assert read(phase="failed", status_code=given_code).status_code == status_code


def test_pushed_layers_are_parsed_in_every_form() -> None:
    event = read(
        phase="pushing",
        progress={"a": {"current": 1, "total": 4}, "b": "Pushed", "c": "Layer already exists", "d": {"current": 9}},
    )
    assert event.progress == {
        "a": LayerProgress(1, 4),
        "b": LayerProgress(1, 1),
        "c": LayerProgress(1, 1),
        "d": LayerProgress(9, 9),
    }


@pytest.mark.parametrize("progress", [None, "half", 5, [1], {}])
def test_invalid_progress_is_ignored(progress: object) -> None:
    assert read(phase="pushing", progress=progress).progress == {}


def test_the_image_is_named_differently_on_built_and_ready() -> None:
    assert read(phase="built", imageName="r/x:1").image == "r/x:1"
    assert read(phase="ready", image="r/x:1").image == "r/x:1"


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b'"x"', b"{", b"[" * 100_000, b'{"a": ' * 100_000, b'{"phase": ' + b"9" * 5000 + b"}"]
)
def test_data_that_is_not_a_json_object_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the message is Python's
        Event.from_json(data)


def test_invalid_utf8_in_a_message_is_replaced() -> None:
    assert Event.from_json(b'{"phase": "building", "message": "a\xffb"}').message == "a\N{REPLACEMENT CHARACTER}b"


def test_the_repr_of_a_ready_event_hides_the_token() -> None:
    assert "hunter2" not in repr(read(phase="ready", url="http://h/", token="hunter2"))


def test_an_event_is_read_as_it_was_written() -> None:
    for event in (
        Event(Phase.READY, "here\n", image="x", details={"url": "http://h/", "token": "t"}),
        Event(Phase.FAILED, "no\n", status_code=429),
        Event(Phase.PUSHING, progress={"a": LayerProgress(1, 2)}),
        Event(Phase.BUILT, image="x:1"),
        Event(None, "line\n"),
    ):
        again = Event.from_json(event.to_json())
        assert (again.phase, again.message, again.status_code, again.image) == (
            event.phase,
            event.message,
            event.status_code,
            event.image,
        )
        assert again.progress == event.progress


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["phase", "message", "status_code", "progress", "imageName", "image", "url"]),
        JSON | st.sampled_from(["pushing", "ready", "failed"]),
    )
)
def test_fields_of_any_type_give_an_event(fields: dict[str, object]) -> None:
    event = Event.from_json(json.dumps(fields))
    assert isinstance(event.message, str)
    assert isinstance(event.image, str)
