"""The phase clock of a launch: each second belongs to exactly one phase."""

from __future__ import annotations

import itertools

import pytest

from clinder.model.events import Attempt, Event, Message, Phase, Retrying, Verified, Verifying
from clinder.model.phases import PhaseClock
from clinder.model.repository import RepositorySpec

ATTEMPT = Attempt("https://hub.example.org", RepositorySpec("gh", "org/name"), 1, 2)


@pytest.fixture(autouse=True)
def a_second_per_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass with each reading of the clock."""
    seconds = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))


def heard(*items: Event | Attempt | Verifying | Verified | Message) -> PhaseClock:
    clock = PhaseClock()
    for item in items:
        clock(item)
    return clock


def test_an_event_without_a_phase_belongs_to_the_previous_one() -> None:
    clock = heard(Event(Phase.BUILDING), Event(None, "x"), Event(Phase.UNKNOWN), Message("x"), Event(Phase.BUILDING))
    assert clock.phase == "building"
    assert clock.times() == {"waiting": 1.0, "building": 1.0}


def test_a_repeated_phase_continues() -> None:
    phases = (Phase.BUILDING, Phase.PUSHING, Phase.BUILDING, Phase.BUILT)
    assert heard(*map(Event, phases)).times() == {"waiting": 1.0, "building": 2.0, "pushing": 1.0, "built": 1.0}


def test_checking_server_and_kernel_is_one_phase() -> None:
    clock = heard(Event(Phase.LAUNCHING), Event(Phase.READY), Verifying(), Verifying("auto"), Verified())
    assert clock.phase == ""
    assert clock.times() == clock.times() == {"waiting": 1.0, "launching": 1.0, "warming": 1.0}


def test_a_failure_takes_no_time() -> None:
    assert heard(Event(Phase.BUILDING), Event(Phase.FAILED)).times() == {"waiting": 1.0, "building": 1.0}


def test_another_attempt_restarts_the_clock() -> None:
    clock = heard(Event(Phase.BUILDING), Event(Phase.FAILED))
    clock(Retrying("x", ATTEMPT.hub, 5.0))
    clock(ATTEMPT)
    assert clock.times() == {"waiting": 1.0}
