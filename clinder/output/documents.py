"""Build the JSON document of each command, as defined in `clinder.output.formats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.output.clean import clean_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from clinder.hubs.binderhub import HubReport
    from clinder.model.events import RateLimit
    from clinder.model.session import Session
    from clinder.operations.inspect import StatusResult
    from clinder.operations.plan import Plan
    from clinder.operations.results import DownResult, UpResult
    from clinder.output.formats import (
        HubDocument,
        LaunchedDocument,
        Leftovers,
        NoSessionDocument,
        PastLaunchDocument,
        PendingDocument,
        PlanDocument,
        SessionDocument,
        SessionSecrets,
        StateDocument,
        StatusDocument,
        StoppedDocument,
    )
    from clinder.output.launches import PastLaunch
    from clinder.state import Pending, State


_LONGEST_TEXT = 4096
"""The longest string in JSON, in characters: longer than any ref, image or URL."""


def session_document(session: Session, *, with_token: bool) -> SessionDocument:
    """Describe a session; `token` and `uri` are only included with `with_token`."""
    secrets: SessionSecrets = {"token": session.token, "uri": session.uri} if with_token else {}
    return {
        "url": session.url,
        **secrets,
        "hub": _text(session.hub),
        "provider": _text(session.provider),
        "repo": _text(session.repo),
        "ref": _text(session.ref),
        "resolved_ref": _text(session.resolved_ref),
        "ref_url": _text(session.ref_url),
        "image": _text(session.image),
        "launched_at": _stamp(session.launched_at),
        "ready_at": _stamp(session.ready_at),
        "phases": [{"phase": _text(time.phase), "seconds": time.seconds} for time in session.phases],
    }


def _text(value: str) -> str:
    """Clean and bound a string from a record, which may be part of an untrusted checkout."""
    return clean_value(value, _LONGEST_TEXT)


def _stamp(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def up_document(result: UpResult) -> LaunchedDocument:
    """Describe the result of `up`."""
    return {"action": result.action.value, **session_document(result.session, with_token=True)}


def start_document(session: Session) -> LaunchedDocument:
    """Describe the result of `start`."""
    return {"action": "launched", **session_document(session, with_token=True)}


def down_document(result: DownResult) -> StoppedDocument:
    """Describe the result of `down` or `stop`."""
    return {"action": result.action.value, "url": result.session.url if result.session else None}


def plan_document(plan: Plan) -> PlanDocument:
    """Describe a plan."""
    return {
        "changes": plan.changes,
        "steps": [{"action": step.action.value, "cause": _text(step.cause)} for step in plan.steps],
        "obstacle": _text(plan.obstacle) if plan.obstacle else None,
    }


def status_document(result: StatusResult, *, with_token: bool) -> StatusDocument:
    """Describe the recorded session and its observed state; without a session, its keys are null."""
    seen = result.seen
    session = session_document(result.session, with_token=with_token) if result.session else _NO_SESSION
    return {
        **session,
        "state": seen.condition.value if seen else "none",
        "reason": _text(seen.reason) if seen and seen.reason else "",
        "checked_at": _stamp(seen.checked_at) if seen else None,
        "last_activity": _text(seen.last_activity) if seen and seen.last_activity else None,
        "kernels": seen.kernels if seen else None,
        "connections": seen.connections if seen else None,
        "drift": [
            {"key": drift.key, "declared": _text(drift.declared), "running": _text(drift.running)}
            for drift in result.drift
        ],
        **_leftovers(result.state),
    }


_NO_SESSION: NoSessionDocument = {
    "url": None,
    "hub": None,
    "provider": None,
    "repo": None,
    "ref": None,
    "resolved_ref": None,
    "ref_url": None,
    "image": None,
    "launched_at": None,
    "ready_at": None,
    "phases": None,
}


def _leftovers(state: State) -> Leftovers:
    return {
        "pending": _pending(state.pending) if state.pending else None,
        "retired": [session_document(session, with_token=False) for session in state.retired],
    }


def _pending(pending: Pending) -> PendingDocument:
    process = pending.process
    return {
        "hub": _text(pending.hub),
        "provider": _text(pending.provider),
        "repo": _text(pending.repo),
        "ref": _text(pending.ref),
        "process": {
            "operation": _text(process.operation),
            "user": _text(process.user),
            "host": _text(process.host),
            "pid": process.pid,
            "since": _stamp(process.since),
        },
    }


def state_document(state: State, *, with_token: bool) -> StateDocument:
    """Describe the recorded state."""
    return {
        "version": state.version,
        "serial": state.serial,
        "lineage": _text(state.lineage),
        "clinder_version": _text(state.clinder_version),
        "session": session_document(state.session, with_token=with_token) if state.session else None,
        **_leftovers(state),
    }


def launch_document(launch: PastLaunch, medians: Mapping[str, float], log: str) -> PastLaunchDocument:
    """Describe a past launch and include its log."""
    return {
        "name": launch.name,
        "path": str(launch.path),
        "hub": launch.hub,
        "provider": launch.spec.provider if launch.spec else None,
        "repo": launch.spec.repo if launch.spec else None,
        "ref": launch.spec.ref if launch.spec else None,
        "outcome": launch.outcome or None,
        "phases": [
            {"phase": phase, "seconds": seconds, "median_seconds": medians.get(phase)}
            for phase, seconds in launch.phases
        ],
        "log": log,
    }


def hub_document(hub: str, report: HubReport, rate_limit: RateLimit | None) -> HubDocument:
    """Describe a hub."""
    return {
        "hub": hub,
        "is_binderhub": report.is_binderhub,
        "healthy": report.healthy,
        "versions": report.versions,
        "checks": report.checks,
        "providers": report.providers,
        "rate_limit": {
            "remaining": rate_limit.remaining,
            "limit": rate_limit.limit,
            "reset_at": rate_limit.reset_at,
        }
        if rate_limit
        else None,
        "problem": report.problem or None,
    }
