"""Reading and writing of JSON records: dataclasses whose values are checked against their type annotations.

The checks are strict, to detect damaged files: unknown keys and values of other types are errors. pydantic would do
the same, but importing it takes as long as a whole `clinder up`.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, fields, is_dataclass
from datetime import MAXYEAR, MINYEAR, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_Record = TypeVar("_Record")


def read_record(kind: type[_Record], document: object) -> _Record:
    """Read a record from a JSON document.

    Args:
        kind: a dataclass. Its fields are strings, numbers, datetimes, records, tuples of one type, or `None`.
        document: the parsed JSON.

    Raises:
        ValueError: the document is not such a record. The message names the invalid key but not its value, which may be
            a secret.
    """
    record: _Record = _read(kind, document, "")
    return record


def write_record(record: Any, *, indent: int | None = None) -> str:
    """Format a record as JSON."""
    return json.dumps(asdict(record), indent=indent, ensure_ascii=False, default=_stamp)


def _stamp(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat().replace("+00:00", "Z")


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: object, where: str) -> Any:
    origin = get_origin(kind)
    if origin is UnionType:  # always `... | None`
        return (
            None
            if value is None
            else _read(next(part for part in get_args(kind) if part is not NoneType), value, where)
        )
    if is_dataclass(kind):
        return _read_fields(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _invalid(where, "expected a list")
        return tuple(_read(get_args(kind)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Literal:
        if value not in get_args(kind):
            raise _invalid(where, f"expected {get_args(kind)[0]!r}")
        return value
    if kind is datetime:
        return _read_datetime(value, where)
    if kind is float:
        return _read_number(value, where)
    if type(value) is not kind or (type(value) is int and abs(value) > _LARGEST):
        raise _invalid(where, _EXPECTED[kind])
    return value


_LONGEST_NAME = 64
_LARGEST = 2**63
"""A larger integer is certainly damage, and Python does not convert one of many digits to a string."""
_EXPECTED = {str: "expected a string", int: "expected an integer"}


def _read_fields(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise _invalid(where, "expected an object")
    types = _types(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := [name for name in value if name not in known]:
        raise _invalid(_path(where, unknown[0][:_LONGEST_NAME]), "unknown key")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise _invalid(_path(where, name), "missing key")
    return kind(**{name: _read(types[name], item, _path(where, name)) for name, item in value.items()})


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _read_number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer too large for a float
        number = math.inf
    if not math.isfinite(number):
        raise _invalid(where, "expected a number")
    return number


def _read_datetime(value: object, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    is_in_range = moment is not None and MINYEAR < moment.year < MAXYEAR  # in every time zone
    if moment is None or moment.tzinfo is None or not is_in_range:
        raise _invalid(where, "expected a date and time with a time zone")
    return moment


def _invalid(where: str, what: str) -> ValueError:
    return ValueError(f"{where}: {what}" if where else what)
