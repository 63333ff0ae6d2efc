"""Writing a first `clinder.toml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.config import FILE_NAME, leads_out, load_config
from clinder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clinder.config import Value

_KEYS = ("hub", "repo", "ref")


def write_config(folder: Path, found: Mapping[str, Value], *, force: bool) -> Path:
    """Write `clinder.toml` into a folder; an existing one is left alone unless `force`.

    Raises:
        ConfigError: what was found will not do.
        UsageError: there is one already, or it cannot be written.
    """
    import tomli_w

    path = folder / FILE_NAME
    config = load_config(options={key: value.given for key, value in found.items()}, environment={})
    if config.link and leads_out(config.link, str(found["repo"].given), folder):
        raise UsageError(
            f"{found['repo'].given} is not in {folder}, and {FILE_NAME} can name no folder elsewhere",
            hint="Write the file there; or go without it and give --repo to each command.",
        )
    lines = ["# What `clinder up` makes so; `clinder.toml.example` in clinder's documentation shows every key.\n"]
    lines += [tomli_w.dumps({key: found[key].given}) for key in _KEYS if key in found]
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write("".join(lines))
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="--force overwrites it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path
