"""Paths relative to the current folder, which may have been deleted."""

from __future__ import annotations

from pathlib import Path

from clinder.model.errors import UsageError


def current_folder() -> Path:
    """Get the current folder.

    Raises:
        UsageError: it was deleted, or cannot be named.
    """
    try:
        return Path.cwd()
    except OSError as error:
        reason = "it was deleted" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(f"the current folder cannot be used: {reason}", hint="Change to another folder.") from None


def absolute(path: Path) -> Path:
    """Make a path absolute; symbolic links stay.

    Raises:
        UsageError: it is relative to the current folder, and that was deleted.
    """
    return path if path.is_absolute() else current_folder() / path
