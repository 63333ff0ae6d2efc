"""The decision: from what is desired, recorded and observed to a list of steps, each with its cause. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from clinder.model.observation import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.model.observation import Observation
    from clinder.model.repository import RepositorySpec
    from clinder.model.session import Session
    from clinder.state import State


_SHORT = 12


class Action(StrEnum):
    """What a step does."""

    KEEP = "keep"
    LAUNCH = "launch"
    STOP = "stop"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Desired:
    """What shall run: this spec, on one of these hubs.

    Attributes:
        hubs: in the order in which they are tried; a session on any of them will do.
        spec: what is built.
        replace: launch anew even where the recorded session would do, or cannot be reached.
        newest_commit: what the ref stands for now, where that was asked.
        wants_newest: launch anew where another commit than that runs.
        ref_is_gone: whether the repository, being asked, had no such branch or tag: what was built of it stays.
    """

    hubs: tuple[str, ...]
    spec: RepositorySpec
    replace: bool = False
    newest_commit: str | None = None
    wants_newest: bool = False
    ref_is_gone: bool = False

    def newer_than(self, session: Session) -> str:
        """Say in words that the ref has moved on since the session was built; empty if not, or if nobody knows."""
        newest, running = self.newest_commit, session.resolved_ref
        if not newest or not running or newest == running:
            return ""
        return f"{self.spec.ref} is now at {newest[:_SHORT]}, and {running[:_SHORT]} runs"


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing in which the running session is not as declared."""

    key: str
    declared: str
    running: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Attributes:
        action: what is done.
        cause: why.
        session: to which session; none yet for a launch.
        waits: whether a session that cannot be reached is waited for, as long as `timeouts.stop`.
    """

    action: Action
    cause: str
    session: Session | None = None
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order.

    Attributes:
        steps: may be empty.
        obstacle: why nothing may be done although something should; empty if all is well.
    """

    steps: tuple[Step, ...]
    obstacle: str = ""

    @property
    def changes(self) -> bool:
        """Whether anything would be done but to keep."""
        return any(step.action is not Action.KEEP for step in self.steps) or bool(self.obstacle)


def find_drift(desired: Desired, session: Session) -> list[Drift]:
    """Compare a session with what is declared; what a session started elsewhere does not tell counts as declared."""
    drift = []
    if session.hub and session.hub not in desired.hubs:
        drift.append(Drift("hub", ", ".join(desired.hubs), session.hub))
    if session.provider:
        declared = f"{desired.spec.provider}:{desired.spec.repo}"
        running = f"{session.provider}:{session.repo}"
        if declared != running:
            drift.append(Drift("repo", declared, running))
        if desired.spec.ref != session.ref:
            drift.append(Drift("ref", desired.spec.ref, session.ref))
    return drift


def plan(desired: Desired | None, state: State, observed: Mapping[str, Observation]) -> Plan:
    """Decide.

    Args:
        desired: what shall run; `None`: nothing.
        state: what is recorded; a `pending` launch in it is one whose process has ended.
        observed: by URL, how each recorded session was found.
    """
    steps = []
    if state.pending:
        steps.append(
            Step(
                Action.FORGET,
                f"the launch of {state.pending.process} never finished; a session that it started ends "
                "when its hub finds it idle",
            )
        )
    session = state.session
    cause = "no longer wanted and not yet seen to be gone"
    steps.extend(
        _retire(retired, observed[retired.url], cause, waits=desired is None)
        for retired in state.retired
        if desired is None or session is None or retired.url != session.url  # adopted again after it was retired
    )
    if session is None:
        if desired:
            steps.append(Step(Action.LAUNCH, "no session is recorded"))
        return Plan(tuple(steps))
    seen = observed[session.url]
    if desired is None:
        steps.append(_retire(session, seen, "the session is no longer wanted", waits=True))
        return Plan(tuple(steps))
    return _reconcile(desired, session, seen, steps)


def _retire(session: Session, seen: Observation, cause: str, *, waits: bool) -> Step:
    if seen.condition is Condition.GONE:
        return Step(Action.FORGET, f"the session is gone: {seen.reason}", session)
    return Step(Action.STOP, cause, session, waits=waits or seen.condition is not Condition.UNREACHABLE)


def _reconcile(desired: Desired, session: Session, seen: Observation, steps: list[Step]) -> Plan:
    if seen.condition is Condition.GONE:
        steps.append(Step(Action.FORGET, f"the session is gone: {seen.reason}", session))
        steps.append(Step(Action.LAUNCH, "the recorded session is gone"))
        return Plan(tuple(steps))
    drift = find_drift(desired, session)
    if desired.replace:
        cause = "a new session was asked for (--replace)"
    elif seen.condition is Condition.UNREACHABLE:
        obstacle = (
            f"the recorded session {session.url} cannot be looked at ({seen.reason}), "
            "which does not mean that it is gone"
        )
        return Plan(tuple(steps), obstacle)
    elif drift:
        cause = "; ".join(f"{item.key} is declared {item.declared}, but {item.running} runs" for item in drift)
    elif desired.wants_newest and (newer := desired.newer_than(session)):
        cause = newer
    else:
        advice = ""
        if newer := desired.newer_than(session):
            advice = f", though {newer}: `clinder up --latest` replaces it"
        elif desired.ref_is_gone:
            advice = f", though its repository has no branch or tag {desired.spec.ref} any more"
        steps.append(Step(Action.KEEP, f"the session runs as declared{advice}", session))
        return Plan(tuple(steps))
    steps.append(Step(Action.LAUNCH, cause))
    steps.append(Step(Action.STOP, "replaced by the new session", session))
    return Plan(tuple(steps))
