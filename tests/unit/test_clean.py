from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.output.clean import clean, clean_line, is_passing

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain\nlines\n", "plain\nlines\n"),
        ("caf\u00e9 \u4e09 \U0001f600", "caf\u00e9 \u4e09 \U0001f600"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b[?25l\x1b[38;2;1;2;3mx", "x"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;ZXZpbA==\x1b\\x", "x"),
        ("\x1b]8;;http://evil/\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;never ends", ""),
        ("\x1bPq device \x1b\\x", "x"),
        ("\x1b_app\x1b\\x", "x"),
        ("\x1bcx", "x"),
        ("x\x1b", "x"),
        ("x\x1b[", "x"),
        ("\x9dtitle\x07", f"{UNKNOWN}title{UNKNOWN}"),
        ("a\x00b\x08c\x7f", f"a{UNKNOWN}b{UNKNOWN}c{UNKNOWN}"),
        ("a\u202eb\u2066c\u200fd", f"a{UNKNOWN}b{UNKNOWN}c{UNKNOWN}d"),
        ("a\u2028b\u2029c\x85d", f"a{UNKNOWN}b{UNKNOWN}c{UNKNOWN}d"),
        ("a\x0bb\x0cc", f"a{UNKNOWN}b{UNKNOWN}c"),
        ("\ud800", UNKNOWN),
        ("a\tb", "a   b"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("10%\r50%\r100%", "100%"),
        ("10%\r50%\r", "50%"),
        ("a\r\nb\rc\n", "a\nc\n"),
        ("\r", ""),
    ],
)
def test_text_from_a_hub_is_harmless_when_shown(said: str, shown: str) -> None:
    assert clean(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "##[error]x",
        "a ##[group]x",
        "a ##vso[task.setvariable variable=x]y",
        "##\x1b[0m[error]x",
        "::set-env name=PATH::/evil",
        "  ::error::x",
        "\u3000::error::x",
        "fine\n::add-mask::e",
        "fine\r::add-mask::e",
        "\x1b[0m::add-mask::e",
        "\t::error::x",
        "fine\n\n \n::error::x",
    ],
)
def test_a_ci_runner_finds_no_command_in_text_from_a_hub(said: str) -> None:
    """A GitHub runner strips white space from a line, then looks for `::` at its start, and for `##[` anywhere."""
    for line in clean(said).split("\n"):
        assert not line.strip().startswith("::")
        assert not re.search(r"##\w*\[", line)


def test_two_colons_within_a_line_stay() -> None:
    assert clean("std::vector and a::b") == "std::vector and a::b"


def test_clean_line_returns_one_line() -> None:
    assert clean_line(" a\nb\r\nc ") == "a b c"


def test_a_message_ending_in_a_carriage_return_is_overwritten() -> None:
    assert is_passing("10%\r")
    assert not is_passing("done\n")


@given(st.text())
def test_only_printable_lines_are_returned(text: str) -> None:
    cleaned = clean(text)
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|##\[", cleaned
    )


@given(
    st.lists(
        st.sampled_from(
            ["\x1b", "[", "]", "0;", "m", "\x07", "\\", "P", "\n", "\r", "##", ":", " ", "x", "\x9b", "##["]
        )
    ).map("".join)
)
def test_removed_escapes_never_leave_another_escape(text: str) -> None:
    cleaned = clean(text)
    assert "\x1b" not in cleaned
    assert "##[" not in cleaned
    assert not re.search(r"(?m)^\s*::", cleaned)


@given(st.text(alphabet="abc :#[]\n\t\r"))
def test_cleaning_twice_is_the_same_as_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)
