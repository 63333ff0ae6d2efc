"""The locations of `clinder.toml` and the state folder: as named by the user, else found from the current folder.

Paths from users are checked here, with a clear error for each of these: a deleted current folder, a path that is too
long, and a file of another user.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from clinder.model.display import show_path
from clinder.model.errors import ConfigFileError
from clinder.model.paths import absolute, current_folder
from clinder.system.files import foreign_owner
from clinder.system.trust import find_distrust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE_NAME = "clinder.toml"
STATE_DIR_NAME = ".clinder"
_OPTIONS = "--config or CLINDER_CONFIG"


def named_file(path: Path, named_by: str = _OPTIONS) -> Path:
    """Get the absolute path of the `clinder.toml` that the user named; its content is not checked.

    Args:
        path: the path as given.
        named_by: the option or variable that names it, for the hint.

    Raises:
        ConfigFileError: it does not exist, or the path is invalid.
        UsageError: the current folder was deleted.
    """
    file = absolute(path)
    try:
        file.stat()
    except FileNotFoundError:
        message, hint = f"{show_path(path)} does not exist", f"Check {named_by}."
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "the path is invalid"
        message, hint = f"{show_path(path)} cannot be used: {reason}", ""
    else:
        return file
    raise ConfigFileError(message, file=file, is_named=True, hint=hint)


def find_file(start: Path | None = None, named_by: str = _OPTIONS) -> Path | None:
    """Find the nearest `clinder.toml`: in a folder or its parents.

    Args:
        start: the folder; defaults to the current folder.
        named_by: the option or variable that can name a file instead, for the hint.

    Raises:
        ConfigFileError: the nearest file belongs to another user who is not trusted; files in parents are not used.
        UsageError: the current folder was deleted.
    """
    start = current_folder() if start is None else start
    for folder in (start, *start.parents):
        file = folder / FILE_NAME
        try:
            file.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError as error:
            raise ConfigFileError(f"{show_path(file)} cannot be accessed: {error.strerror}", file=file) from None
        _check_trusted(file, named_by)
        return file
    return None


def _check_trusted(file: Path, named_by: str) -> None:
    try:
        distrust = find_distrust(file)
    except OSError as error:
        reason = "it is a broken symbolic link" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConfigFileError(f"{show_path(file)} cannot be used: {reason}", file=file) from None
    if distrust:
        raise ConfigFileError(
            distrust.reason, file=file, hint=f"To use it, name it with {named_by}; or {distrust.ways_out}."
        )


def find_state_dir(file: Path | None, given: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """Get the state folder: as given, else `CLINDER_STATE_DIR`, else `.clinder` next to the file or in this folder.

    Raises:
        UsageError: it would be in the current folder, and that was deleted.
    """
    chosen = _chosen_state_dir(given, environment)
    return chosen or (file.parent if file else current_folder()) / STATE_DIR_NAME


def is_state_dir_named(given: Path | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether an option or `CLINDER_STATE_DIR` names the state folder."""
    environment = os.environ if environment is None else environment
    return bool(given or environment.get("CLINDER_STATE_DIR"))


def find_state_dir_despite_file(find: Callable[[], Path | None], given: Path | None = None) -> Path:
    """Get the state folder even if `clinder.toml` cannot be used.

    In that case, it is the `.clinder` in the current folder, else the one next to the file, provided that it belongs to
    the current user. If the file is named explicitly, only the one next to it is considered.

    Args:
        find: a function that finds the file.
        given: the state folder, if an option names one.

    Raises:
        ConfigFileError: the file cannot be used, and there is no such folder.
        UsageError: the state folder would be in the current folder, and that was deleted.
    """
    if chosen := _chosen_state_dir(given):
        return chosen
    try:
        return find_state_dir(find())
    except ConfigFileError as error:
        folders = [error.file.parent] if error.is_named else [current_folder(), error.file.parent]
        found = next((folder / STATE_DIR_NAME for folder in folders if _is_own(folder / STATE_DIR_NAME)), None)
        if found is None:
            raise
        return found


def _chosen_state_dir(given: Path | None, environment: Mapping[str, str] | None = None) -> Path | None:
    environment = os.environ if environment is None else environment
    chosen = given or environment.get("CLINDER_STATE_DIR")
    return absolute(Path(chosen)) if chosen else None


def _is_own(path: Path) -> bool:
    try:
        return foreign_owner(path) is None
    except OSError:
        return False
