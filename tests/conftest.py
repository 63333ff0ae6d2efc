"""What all tests share: no settings, proxies or credentials of whoever runs them."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what would change clinder's behaviour from outside."""
    for name in os.environ:
        if name.startswith("CLINDER_") or name.lower().endswith("_proxy") or name in ("GITHUB_ACTIONS", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")
