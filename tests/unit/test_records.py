"""Strict reading of dataclasses from JSON, and writing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pytest

from clinder.model.records import read_record, write_record

NOW = datetime(2026, 11, 22, 18, 0, 0, 123456, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Whole:
    version: Literal[1] = 1
    count: int = 0
    at: datetime | None = None
    first: Part | None = None
    parts: tuple[Part, ...] = ()


WHOLE = Whole(count=3, at=NOW, first=Part(name="ä"), parts=(Part(name="b", seconds=1.5), Part(name="c")))


@pytest.mark.parametrize("record", [Whole(), WHOLE], ids=["defaults", "everything"])
def test_a_record_is_read_as_it_was_written(record: Whole) -> None:
    assert read_record(Whole, json.loads(write_record(record))) == record


def test_times_are_written_in_utc_with_a_z() -> None:
    assert json.loads(write_record(WHOLE))["at"] == "2026-11-22T18:00:00.123456Z"


def test_an_integer_is_accepted_as_a_number() -> None:
    assert read_record(Part, {"name": "a", "seconds": 2}).seconds == 2.0


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected an object"),
        (None, "expected an object"),
        ({"version": 2}, "version: expected 1"),
        ({"count": "3"}, "count: expected an integer"),
        ({"count": True}, "count: expected an integer"),
        ({"count": 3.0}, "count: expected an integer"),
        ({"at": "soon"}, "at: expected a date and time with a time zone"),
        ({"at": 5}, "at: expected a date and time with a time zone"),
        ({"at": "2026-11-22T18:00:00"}, "at: expected a date and time with a time zone"),
        ({"first": {}}, "first.name: missing key"),
        ({"first": {"name": 1}}, "first.name: expected a string"),
        ({"first": {"name": "a", "secret": "hunter2"}}, "first.secret: unknown key"),
        ({"parts": {}}, "parts: expected a list"),
        ({"parts": [{"name": "a"}, {"name": "b", "seconds": "1"}]}, "parts[1].seconds: expected a number"),
        ({"parts": [None]}, "parts[0]: expected an object"),
        ({"other": 1}, "other: unknown key"),
    ],
    ids=str,
)
def test_an_error_names_the_key_but_not_the_value(document: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        read_record(Whole, document)
    assert str(caught.value) == message
