from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinder.model.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("500ms", 0.5),
        ("1m30s500ms", 90.5),
        ("2.5", 2.5),
        ("1.5h", 5400),
        (" 45M ", 2700),
        (45, 45),
        (0.25, 0.25),
        ("0", 0),
        (0, 0),
    ],
)
def test_durations_are_parsed_in_every_form(written: object, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    ["", "soon", "m", "10 m", "-5s", -1, "1e3", "10x", True, None, [], float("nan"), float("inf"), "1h-5m", "9" * 400],
)
def test_an_invalid_duration_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration: write 90s, 10m, 1h30m"):
        parse_duration(written)


@pytest.mark.parametrize("written", ["366d", "9000h", 10**9, 10**400, -(10**400)])
def test_a_duration_longer_than_a_year_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"is longer than a year|is not a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (2.5, "2.5s"), (45, "45s"), (60, "1m"), (90, "1m30s"), (2700, "45m"), (3600, "1h"), (5400, "1h30m")],
)
def test_a_duration_is_formatted_as_in_the_file(seconds: float, written: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == written


@given(st.integers(0, 365 * 86400))
def test_whole_seconds_round_trip(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == timedelta(seconds=seconds)


@pytest.mark.parametrize("milliseconds", [1, 20, 49, 500, 1500, 2550])
def test_short_durations_round_trip(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration
