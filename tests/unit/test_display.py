"""Untrusted values, text and paths in messages: printable, on one line and of limited length."""

from __future__ import annotations

import os
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.model.display import show_path, show_text, show_value

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("soon", "'soon'"),
        (5, "5"),
        (-1.5, "-1.5"),
        (True, "true"),
        (None, "null"),
        ([1], "a list"),
        ({"a": 1}, "a table"),
        (date(2026, 1, 1), "a date"),
        ("a\x1b[0m\n\ud800", "'a\\x1b[0m\\n\\ud800'"),
        ("x" * 201, f"'{'x' * 200}…'"),
        (10**5000, "a number of more than 77 digits"),
        (-(2**300), "a number of more than 77 digits"),
    ],
    ids=type,
)
def test_a_value_is_shown_according_to_its_type(value: object, shown: str) -> None:
    assert show_value(value) == shown


@given(VALUES)
def test_any_value_is_shown_on_one_short_line(value: object) -> None:
    assert show_value(value).isprintable()
    assert len(show_value(value)) < 2500


@given(st.text() | st.text(min_size=900))
def test_any_text_is_shown_on_one_short_line(text: str) -> None:
    assert show_text(text).isprintable()
    assert len(show_text(text)) <= 401


@pytest.mark.skipif(os.name == "nt", reason="paths are bytes only on POSIX")
def test_a_long_path_is_escaped_and_shortened() -> None:
    assert show_path("/tmp/é") == "/tmp/é"
    assert show_path(os.fsdecode(b"/tmp/caf\xe9\n\x1b[31m")) == "/tmp/caf\\xe9\\n\\x1b[31m"
    assert show_path("/" + "x" * 5000 + "/end") == "/" + "x" * 99 + "…" + "x" * 196 + "/end"
