"""Records that are kept as JSON: from a document to a frozen dataclass, checked against its annotations, and back.

Strict, so that a damaged file is noticed: no key may be unknown, and no value of another kind than declared. It is all
that clinder needs of pydantic, at none of its import's cost, which is that of a whole `clinder up`.
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
        kind: a dataclass; its fields are texts, numbers, moments, other records, tuples of one kind, or `None`.
        document: as `json.loads` made it.

    Raises:
        ValueError: it is no such record; the message says where it is not, and does not repeat what stands there.
    """
    record: _Record = _read(kind, document, "")
    return record


def write_record(record: Any, *, indent: int | None = None) -> str:
    """Write a record as JSON."""
    return json.dumps(asdict(record), indent=indent, ensure_ascii=False, default=_stamp)


def _stamp(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat().replace("+00:00", "Z")


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, value: object, where: str) -> Any:
    origin = get_origin(kind)
    if origin is UnionType:  # with None, always
        return (
            None
            if value is None
            else _read(next(part for part in get_args(kind) if part is not NoneType), value, where)
        )
    if is_dataclass(kind):
        return _read_fields(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _invalid(where, "a list is expected")
        return tuple(_read(get_args(kind)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Literal:
        if value not in get_args(kind):
            raise _invalid(where, f"{get_args(kind)[0]!r} is expected")
        return value
    if kind is datetime:
        return _read_moment(value, where)
    if kind is float:
        return _read_number(value, where)
    if type(value) is not kind or (type(value) is int and abs(value) > _LARGEST):
        raise _invalid(where, _EXPECTED[kind])
    return value


_MOST_OF_A_NAME = 64
_LARGEST = 2**63
"""A larger integer is no count, and one of many digits cannot even be written again."""
_EXPECTED = {str: "text is expected", int: "a whole number is expected"}


def _read_fields(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise _invalid(where, "an object is expected")
    types = _types(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := [name for name in value if name not in known]:
        raise _invalid(_path(where, unknown[0][:_MOST_OF_A_NAME]), "this key is unknown")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise _invalid(_path(where, name), "this key is missing")
    return kind(**{name: _read(types[name], item, _path(where, name)) for name, item in value.items()})


def _path(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _read_number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer beyond all floats
        number = math.inf
    if not math.isfinite(number):
        raise _invalid(where, "a number is expected")
    return number


def _read_moment(value: object, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    is_tellable = moment is not None and MINYEAR < moment.year < MAXYEAR  # in every time zone
    if moment is None or moment.tzinfo is None or not is_tellable:
        raise _invalid(where, "a moment with its time zone is expected")
    return moment


def _invalid(where: str, what: str) -> ValueError:
    return ValueError(f"{where}: {what}" if where else what)
