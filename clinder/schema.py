"""The JSON schema of `clinder.toml`, made from the models of `clinder.config`, for editors and other checkers.

A file that passes may still be refused: what a repository or a hub's URL must look like, only `clinder.config` knows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from clinder import HOME_PAGE
from clinder.duration import format_duration
from clinder.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_URL = f"{HOME_PAGE}/raw/main/docs/clinder.schema.json"
"""Where the schema of the newest clinder is: what `#:schema` in a `clinder.toml` names."""


def config_schema() -> dict[str, Any]:
    """Make the schema, as JSON Schema draft 2020-12; defaults are written as `clinder.toml` has them."""
    made = Settings.model_json_schema()
    tables = made.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_URL,
        "title": "clinder.toml",
        "description": "Which Binder session clinder keeps: the hub, the repository, and how patiently.",
        "type": "object",
        "additionalProperties": False,
        "properties": _properties(made, Settings, tables),
    }


def _properties(made: Mapping[str, Any], model: Any, tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tidy the properties of a table: no titles that repeat a key, tables where they are used, defaults as written."""
    properties = {}
    for name, its in made["properties"].items():
        field = model.model_fields[name]
        if "$ref" in its:
            table = tables[its["$ref"].rpartition("/")[2]]
            properties[name] = {
                "description": table["description"],
                "type": "object",
                "additionalProperties": False,
                "properties": _properties(table, field.annotation, tables),
            }
        else:
            kept = {key: value for key, value in its.items() if key not in ("title", "description", "default")}
            properties[name] = {
                "description": its["description"],
                **kept,
                "default": written(field.get_default(call_default_factory=True)),
            }
    return properties


def written(value: object) -> Any:
    """Write a setting's value as `clinder.toml` has it: a duration as `45m`, a list of one hub as that hub."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value
