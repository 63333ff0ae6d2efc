"""Where `clinder.toml` and the state folder are: as they are named, else as they are found from the current folder.

The paths that a user gives come in here, so that a deleted current folder, a path that is too long and a file of
another user are each reported as what they are.
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
    """Get the place of the `clinder.toml` that a user names; what kind of file it is shows when it is read.

    Args:
        path: as it is named.
        named_by: what names it.

    Raises:
        ConfigFileError: there is none.
        UsageError: the current folder was deleted.
    """
    file = absolute(path)
    try:
        file.stat()
    except FileNotFoundError:
        message, hint = f"there is no file {show_path(path)}", f"Look at {named_by}."
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "there can be no such path"
        message, hint = f"{show_path(path)} cannot be used: {reason}", ""
    else:
        return file
    raise ConfigFileError(message, file=file, is_named=True, hint=hint)


def find_file(start: Path | None = None, named_by: str = _OPTIONS) -> Path | None:
    """Look for `clinder.toml` from a folder (the current one if left out) upwards.

    Args:
        start: the folder.
        named_by: what could name a file instead.

    Raises:
        ConfigFileError: the nearest one belongs to another user, and is not trusted; none further up is taken instead.
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
            raise ConfigFileError(f"{show_path(file)} cannot be looked for: {error.strerror}", file=file) from None
        _check_trusted(file, named_by)
        return file
    return None


def _check_trusted(file: Path, named_by: str) -> None:
    try:
        distrust = find_distrust(file)
    except OSError as error:
        reason = "its link leads nowhere" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConfigFileError(f"{show_path(file)} cannot be used: {reason}", file=file) from None
    if distrust:
        raise ConfigFileError(
            distrust.reason, file=file, hint=f"Name it with {named_by} if you mean it; or {distrust.ways_out}."
        )


def find_state_dir(file: Path | None, given: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """Say where the state is: as given, else `CLINDER_STATE_DIR`, else `.clinder` beside the file or right here.

    Raises:
        UsageError: it is in the current folder, and that was deleted.
    """
    chosen = _chosen_state_dir(given, environment)
    return chosen or (file.parent if file else current_folder()) / STATE_DIR_NAME


def is_state_dir_named(given: Path | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether an option or `CLINDER_STATE_DIR` names the state folder; else one is found (`find_state_dir`)."""
    environment = os.environ if environment is None else environment
    return bool(given or environment.get("CLINDER_STATE_DIR"))


def find_state_dir_despite_file(find: Callable[[], Path | None], given: Path | None = None) -> Path:
    """Say where the state is, whatever is the matter with the file: of that, only the place counts.

    Where the file cannot be used, the state is that of the current folder, else one's own beside the file; of a file
    that is named, only the latter.

    Args:
        find: finds the file.
        given: the state folder, where the command line names one.

    Raises:
        ConfigFileError: the file cannot be used, and there is no such state.
        UsageError: the current folder was deleted, and the state would be there.
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
