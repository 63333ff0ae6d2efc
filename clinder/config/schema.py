"""The JSON schema of `clinder.toml` for editors and validators, generated from `clinder.config.settings`.

The schema is less strict than clinder: it does not check repositories and the URLs of hubs.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

from clinder import HOME_PAGE
from clinder.config.settings import TABLES, setting_default, setting_description, setting_keys, setting_type
from clinder.model.duration import format_duration

SCHEMA_URL = f"{HOME_PAGE}/raw/main/docs/clinder.schema.json"
"""The URL of the latest schema, for `#:schema` in a `clinder.toml`."""


def config_schema() -> dict[str, Any]:
    """Get the schema, in JSON Schema draft 2020-12; defaults have the format of `clinder.toml`."""
    schema = _table("The Binder session: its hub, its repository, time limits and retries.")
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
    """Convert a value to the format of `clinder.toml`: a duration to `45m`, a list of one hub to that hub."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value
