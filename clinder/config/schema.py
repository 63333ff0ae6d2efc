"""The JSON schema of `clinder.toml`, made from `clinder.config.settings`, for editors and other checkers.

A file that passes may still be refused: the rules for repositories and hub URLs are in `clinder.config.settings` alone.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

from clinder import HOME_PAGE
from clinder.config.settings import TABLES, setting_default, setting_description, setting_keys, setting_type
from clinder.model.duration import format_duration

SCHEMA_URL = f"{HOME_PAGE}/raw/main/docs/clinder.schema.json"
"""Where the schema of the newest clinder is: what `#:schema` in a `clinder.toml` names."""


def config_schema() -> dict[str, Any]:
    """Make the schema, as JSON Schema draft 2020-12; defaults are written as `clinder.toml` has them."""
    schema = _table("Which Binder session clinder keeps: the hub, the repository, and how patiently.")
    for key in setting_keys():
        table, _, name = key.rpartition(".")
        properties = schema["properties"]
        if table:
            properties = properties.setdefault(table, _table(inspect.getdoc(TABLES[table]) or ""))["properties"]
        properties[name] = {
            "description": setting_description(key),
            **setting_type(key).schema,
            "default": written(setting_default(key)),
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_URL,
        "title": "clinder.toml",
        **schema,
    }


def _table(description: str) -> dict[str, Any]:
    return {"description": description, "type": "object", "additionalProperties": False, "properties": {}}


def written(value: object) -> Any:
    """Write a setting's value as `clinder.toml` has it: a duration as `45m`, a list of one hub as that hub."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value
