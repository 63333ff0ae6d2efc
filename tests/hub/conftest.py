"""Fixtures: a hub, a session behind it, and a configuration for them with short timeouts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from clinder.config.loading import Config, load_config
from clinder.model.events import Event, Progress
from clinder.operations.context import RunContext
from hub.cluster import Cluster
from hub.forks import Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hub.servers import Server


@pytest.fixture
def configure(hub: Server, tmp_path: Path) -> Callable[..., Config]:
    """Return a function that makes a configuration with short timeouts from dotted keys (`__` stands for the dot)."""

    def make(**settings: object) -> Config:
        options: dict[str, object] = {
            "hub": hub.url,
            "repo": "org/name",
            "ref": "main",
            "timeouts.connect": 3,
            "timeouts.silence": 5,
            "timeouts.build": 10,
            "timeouts.launch": 10,
            "timeouts.stop": 5,
            "retry.attempts": 1,
            "retry.backoff": 0.01,
        }
        options |= {key.replace("__", "."): value for key, value in settings.items()}
        return load_config(options=options, environment={}, state_dir=tmp_path / ".clinder")

    return make


class Heard:
    """A listener that records every event."""

    def __init__(self) -> None:
        self.items: list[Event | Progress] = []

    def __call__(self, item: Event | Progress) -> None:
        self.items.append(item)

    @property
    def events(self) -> list[Event]:
        return [item for item in self.items if isinstance(item, Event)]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def context(heard: Heard) -> RunContext:
    return RunContext(on_event=heard, lock_timeout_s=0)


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll a session more often than would be polite with a real one."""
    monkeypatch.setattr("clinder.net.jupyter._POLL_S", 0.01)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "clinder.toml").write_text(
        f'hub = "{cluster.url}"\nrepo = "org/name"\nref = "main"\n'
        'timeouts = { connect = "5s", silence = "20s", build = "20s", launch = "20s", stop = "5s" }\n'
    )
    return folder


@pytest.fixture
def forks(project: Path, tmp_path: Path) -> Iterator[Forks]:
    if not hasattr(os, "fork"):
        pytest.skip("Windows has no fork")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Forks(project, scratch) as running:
        yield running
