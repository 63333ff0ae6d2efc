"""Launch, inspect and stop one Binder session, as declared in `clinder.toml`.

The Python interface is `launch`, `stop` and `session` (a context manager), the class `Session`, and `ClinderError`, the
base class of all errors. They are imported when they are first used, so that importing the package is fast.
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
