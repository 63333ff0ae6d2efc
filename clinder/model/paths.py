"""The current folder, which may have been deleted, and absolute paths."""

from __future__ import annotations

from pathlib import Path

from clinder.model.errors import UsageError


def current_folder() -> Path:
    """Get the current folder.

    Raises:
        UsageError: it was deleted, or its path cannot be determined.
    """
    try:
        return Path.cwd()
    except OSError as error:
        reason = "it was deleted" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(f"the current folder cannot be used: {reason}", hint="Change to another folder.") from None


def absolute(path: Path) -> Path:
    """Make a path absolute, without resolving symbolic links.

    Raises:
        UsageError: it is relative, and the current folder was deleted.
    """
    return path if path.is_absolute() else current_folder() / path
