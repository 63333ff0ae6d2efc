"""Records: from JSON to a dataclass, strictly, and back."""

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
def test_what_was_written_is_read_as_it_was(record: Whole) -> None:
    assert read_record(Whole, json.loads(write_record(record))) == record


def test_moments_are_written_in_utc_with_a_z() -> None:
    assert json.loads(write_record(WHOLE))["at"] == "2026-11-22T18:00:00.123456Z"


def test_a_whole_number_will_do_for_a_number() -> None:
    assert read_record(Part, {"name": "a", "seconds": 2}).seconds == 2.0


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "an object is expected"),
        (None, "an object is expected"),
        ({"version": 2}, "version: 1 is expected"),
        ({"count": "3"}, "count: a whole number is expected"),
        ({"count": True}, "count: a whole number is expected"),
        ({"count": 3.0}, "count: a whole number is expected"),
        ({"at": "soon"}, "at: a moment with its time zone is expected"),
        ({"at": 5}, "at: a moment with its time zone is expected"),
        ({"at": "2026-11-22T18:00:00"}, "at: a moment with its time zone is expected"),
        ({"first": {}}, "first.name: this key is missing"),
        ({"first": {"name": 1}}, "first.name: text is expected"),
        ({"first": {"name": "a", "secret": "hunter2"}}, "first.secret: this key is unknown"),
        ({"parts": {}}, "parts: a list is expected"),
        ({"parts": [{"name": "a"}, {"name": "b", "seconds": "1"}]}, "parts[1].seconds: a number is expected"),
        ({"parts": [None]}, "parts[0]: an object is expected"),
        ({"other": 1}, "other: this key is unknown"),
    ],
    ids=str,
)
def test_a_fault_is_told_with_its_place_but_not_with_what_stands_there(document: object, fault: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        read_record(Whole, document)
    assert str(caught.value) == fault
