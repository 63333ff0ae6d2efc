"""Fixtures for all tests: an environment without settings, proxies or credentials; a hub and the session behind it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hub.servers import JupyterSession, Server
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK, THOROUGH = "quick", "thorough"
"""Profiles of the property tests: the same few examples every time, or many random ones to look for new errors:
`HYPOTHESIS_PROFILE=thorough pytest tests/unit/test_fuzz.py`."""

settings.register_profile(QUICK, derandomize=True, deadline=None, database=None, max_examples=100)
settings.register_profile(
    THOROUGH, deadline=None, database=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", QUICK))

NOT_MEASURED = (
    "hub",
    "test_closed_streams",
    "test_docs",
    "test_example_workflows",
    "test_hostile_words",
    "test_jupyter_tools",
    "test_migrating",
    "test_myst",
    "test_pictures",
    "test_site",
    "test_terminal",
    "test_token",
)
"""Tests whose commands run code that other tests already cover: coverage doubles the cost of a short process.

A measured process writes its data when it ends. If it is killed at that moment, or cannot write, the file is damaged:
tests wait for such a process, or start it without `site` (`python -S`), and so without coverage.
"""


def pytest_configure() -> None:
    """Restore the default effect of signals on the commands under test, even if the caller ignores them."""
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Remove everything from the environment that changes clinder's behaviour."""
    if request.path.parent.name in NOT_MEASURED or request.path.stem.startswith(NOT_MEASURED):
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            monkeypatch.delenv(name, raising=False)
    for name in os.environ:
        if name.startswith("CLINDER_") or name.lower().endswith("_proxy") or name in ("GITHUB_ACTIONS", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def session() -> Iterator[JupyterSession]:
    """The session behind the hub."""
    with JupyterSession() as server:
        yield server


@pytest.fixture
def hub(session: JupyterSession) -> Iterator[Server]:
    """A hub that launches `session` immediately, unless the test sets another handler."""
    with Server(session.launch()) as server:
        yield server
