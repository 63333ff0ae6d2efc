"""A clock that is set back: the time of day jumps back, monotonic clocks continue."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def set_back(monkeypatch: pytest.MonkeyPatch, *, hours: float) -> None:
    """Set the clock back for all of clinder."""
    real, step = time.time, timedelta(hours=hours)

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - step

    monkeypatch.setattr(time, "time", lambda: real() - step.total_seconds())
    for name, module in list(sys.modules.items()):
        reads_clock = name.startswith("clinder.") and name != "clinder.model.records"
        if reads_clock and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", SetBack)
