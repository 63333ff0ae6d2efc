"""Parsing and formatting of durations: `90s`, `10m`, `1h30m`, or a number of seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from clinder.model.display import show_value

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_LONGEST = timedelta(days=365)
_LONGEST_TEXT = 100


def parse_duration(value: object) -> timedelta:
    """Parse a duration.

    Args:
        value: a number of seconds, or a string such as `45m`, `1h30m`, `500ms`, `2.5`.

    Raises:
        ValueError: the value is not a duration, is negative or is longer than a year.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _no_duration(value)
    try:
        seconds = _seconds(value.strip().lower()) if isinstance(value, str) else float(value)
    except OverflowError:  # an integer too large for a float
        seconds = math.inf
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise _no_duration(value)
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{show_value(value)} is longer than a year")
    return timedelta(seconds=seconds)


def _no_duration(value: object) -> ValueError:
    return ValueError(f"{show_value(value)} is not a duration: write 90s, 10m, 1h30m, or a number of seconds")


def _seconds(text: str) -> float | None:
    if len(text) > _LONGEST_TEXT:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(rf"({_PART.pattern})+", text):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


def format_duration(value: timedelta | float) -> str:
    """Format a duration as in `clinder.toml`: `45m`, `1h30m`, `0.25s`. A float is in seconds and is rounded."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 60:  # noqa: PLR2004  # a minute
        digits = 3 if isinstance(value, timedelta) else 1
        return f"{round(seconds, digits):g}s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number)
