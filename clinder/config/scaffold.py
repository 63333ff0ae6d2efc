"""Writing a first `clinder.toml`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clinder.config.loading import leads_out, load_config
from clinder.model.display import show_path
from clinder.model.errors import UsageError
from clinder.model.wording import os_hint, os_reason
from clinder.system.files import open_regular
from clinder.system.places import FILE_NAME
from clinder.system.trust import find_distrust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from clinder.config.loading import Value

_KEYS = ("hub", "repo", "ref")
_MODE = 0o666
"""Before the umask: the file is meant to be committed and contains no secret."""


def check_folder(folder: Path) -> None:
    """Check that a `clinder.toml` in this folder would be used.

    Raises:
        UsageError: the folder cannot be inspected, or belongs to another user and is not trusted.
    """
    try:
        distrust = find_distrust(folder)
    except OSError as error:
        raise UsageError(f"{show_path(folder)} cannot be used: {error.strerror}") from None
    if distrust and distrust.part == folder:
        message = f"a {FILE_NAME} in {show_path(folder)} would not be used: the folder belongs to another user"
        raise UsageError(f"{message}, {distrust.owner}", hint=f"Either {distrust.ways_out}.")


def write_config(folder: Path, found: Mapping[str, Value], *, force: bool) -> Path:
    """Write `clinder.toml` into a folder, and return its path; an existing file is only replaced with `force`.

    Raises:
        ConfigError: a value is invalid.
        UsageError: the file already exists, or cannot be written.
    """
    import tomli_w  # only `init` needs it

    path = folder / FILE_NAME
    config = load_config(options={key: value.given for key, value in found.items()}, environment={})
    if config.link and leads_out(config.link, str(found["repo"].given), folder):
        raise UsageError(
            f"{found['repo'].given} is not in {show_path(folder)}, and {FILE_NAME} can only name folders in its own",
            hint="Write the file into that folder; or do without a file, and use --repo with each command.",
        )
    lines = ["# The session for `clinder up`. See `clinder.toml.example` in clinder's documentation for all keys.\n"]
    lines += [tomli_w.dumps({key: found[key].given}) for key in _KEYS if key in found]
    try:
        if force:
            path.unlink(missing_ok=True)  # a link is removed, not followed
        with os.fdopen(
            open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=_MODE), "w", encoding="utf-8"
        ) as file:
            file.write("".join(lines))
    except FileExistsError:
        raise UsageError(f"{show_path(path)} already exists", hint="Use --force to overwrite it.") from None
    except OSError as error:
        raise UsageError(f"{show_path(path)} cannot be written: {os_reason(error)}", hint=os_hint(error)) from error
    return path
