"""clinder keeps one Binder session: it launches it, looks at it and stops it, as `clinder.toml` declares.

From Python: `launch`, `stop` and `session` (a context manager), the `Session` they are about and the errors they
raise, of which `ClinderError` is the base. Importing the package costs next to nothing; they are imported when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinder.api import launch, session, stop
    from clinder.model.errors import ClinderError
    from clinder.model.session import Session

__version__ = "0.1.0"

HOME_PAGE = "https://github.com/clinder-dev/clinder"

__all__ = ["HOME_PAGE", "ClinderError", "Session", "__version__", "launch", "session", "stop"]

_HOMES = {
    "launch": "clinder.api",
    "session": "clinder.api",
    "stop": "clinder.api",
    "ClinderError": "clinder.model.errors",
    "Session": "clinder.model.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
