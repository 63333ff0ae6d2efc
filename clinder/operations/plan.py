"""Make the plan for `up` or `down`: steps, each with its cause, from the desired, recorded and observed state. Pure."""

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

_SHORT_COMMIT = 12


class Action(StrEnum):
    """An action on a session."""

    KEEP = "keep"
    LAUNCH = "launch"
    STOP = "stop"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired state: a session of this repository, on one of these hubs.

    Attributes:
        hubs: URLs, in the order in which they are tried. A session on any of them matches.
        spec: the repository and its ref.
        replace: launch a new session even if the recorded one matches, or cannot be reached.
        newest_commit: the current commit of the ref; `None` if the repository was not asked.
        wants_newest: launch a new session if the recorded one runs another commit.
        ref_is_gone: the repository was asked, and has no such branch or tag. A session of that ref is kept.
    """

    hubs: tuple[str, ...]
    spec: RepositorySpec
    replace: bool = False
    newest_commit: str | None = None
    wants_newest: bool = False
    ref_is_gone: bool = False

    def newer_than(self, session: Session) -> str | None:
        """Describe how far the ref has moved since a session was built; `None` if it has not, or if that is unknown."""
        newest, running = self.newest_commit, session.resolved_ref
        if not newest or not running or newest == running:
            return None
        return f"{self.spec.ref} has moved from {running[:_SHORT_COMMIT]} to {newest[:_SHORT_COMMIT]}"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference between the running session and the configuration."""

    key: str
    declared: str
    running: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Attributes:
        action: what is done.
        cause: why it is done.
        session: the session concerned; `None` for a launch, and for forgetting a launch that never finished.
        waits: when stopping, whether to wait up to `timeouts.stop` for a session that cannot be reached.
    """

    action: Action
    cause: str
    session: Session | None = None
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps to take, in order.

    Attributes:
        steps: may be empty.
        obstacle: why the desired state cannot be reached; `None` if it can.
    """

    steps: tuple[Step, ...]
    obstacle: str | None = None

    @property
    def changes(self) -> bool:
        """Whether `up` would do anything other than keep the session."""
        return any(step.action is not Action.KEEP for step in self.steps) or self.obstacle is not None


def find_drift(desired: Desired, session: Session) -> list[Drift]:
    """List the differences between a session and the desired state; unknown values of the session are ignored."""
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
    """Make the plan for `up` or `down`.

    Args:
        desired: the desired state; `None` for no session.
        state: the recorded state. The process of a `pending` launch in it must have ended.
        observed: an observation of each recorded session, by URL.
    """
    steps = []
    if state.pending:
        steps.append(
            Step(
                Action.FORGET,
                f"the launch by {state.pending.process} never finished; if it started a session, "
                "the hub will stop that session once it is idle",
            )
        )
    session = state.session
    cause = "no longer wanted and not confirmed stopped"
    steps.extend(
        _retire(retired, observed[retired.url], cause, waits=desired is None)
        for retired in state.retired
        if desired is None or session is None or retired.url != session.url  # else it was adopted after it was retired
    )
    if session is None:
        if desired:
            steps.append(Step(Action.LAUNCH, "no session is recorded"))
        return Plan(tuple(steps))
    seen = observed[session.url]
    if desired is None or seen.condition is Condition.GONE:
        steps.append(_retire(session, seen, "the session is no longer wanted", waits=True))
        if desired:
            steps.append(Step(Action.LAUNCH, "the recorded session is gone"))
        return Plan(tuple(steps))
    return _reconcile(desired, session, seen, steps)


def _retire(session: Session, seen: Observation, cause: str, *, waits: bool) -> Step:
    if seen.condition is Condition.GONE:
        return Step(Action.FORGET, f"the session is gone: {seen.reason}", session)
    return Step(Action.STOP, cause, session, waits=waits or seen.condition is not Condition.UNREACHABLE)


def _reconcile(desired: Desired, session: Session, seen: Observation, steps: list[Step]) -> Plan:
    newer = desired.newer_than(session)
    if desired.replace:
        cause = "a new session was requested (--replace)"
    elif seen.condition is Condition.UNREACHABLE:
        obstacle = f"the recorded session {session.url} cannot be checked ({seen.reason}), so it may still be running"
        return Plan(tuple(steps), obstacle)
    elif drift := find_drift(desired, session):
        cause = "; ".join(
            f"the session's {item.key} is {item.running}, but {item.declared} is declared" for item in drift
        )
    elif newer and desired.wants_newest:
        cause = newer
    else:
        advice = ""
        if newer:
            advice = f", but {newer}: `clinder up --latest` replaces it"
        elif desired.ref_is_gone:
            advice = f", but the repository no longer has a branch or tag {desired.spec.ref}"
        steps.append(Step(Action.KEEP, f"the session is running as declared{advice}", session))
        return Plan(tuple(steps))
    steps.append(Step(Action.LAUNCH, cause))
    steps.append(Step(Action.STOP, "replaced by the new session", session))
    return Plan(tuple(steps))
