"""Results as text: a few aligned lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clinder.model.duration import format_duration
from clinder.model.errors import ClinderError
from clinder.model.session_sources import session_spec
from clinder.model.wording import listed, short_name
from clinder.output.clean import clean_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clinder.hubs.binderhub import HubReport
    from clinder.model.events import RateLimit
    from clinder.model.session import Session
    from clinder.operations.inspect import StatusResult
    from clinder.operations.plan import Plan
    from clinder.state import State

_SHORT_COMMIT = 12
_MOST_OF_A_LABEL = 60
_MOST_PROVIDERS = 30


def aligned(rows: Iterable[tuple[str, str]]) -> str:
    """Align rows of a label and a value in two columns; omit rows without a value."""
    shown = [(_clean_label(label), clean_value(value)) for label, value in rows if value]
    width = max((len(label) for label, _ in shown), default=0)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in shown)


def _clean_label(label: str) -> str:
    name = label.lstrip(" ")
    return " " * (len(label) - len(name)) + clean_value(name, _MOST_OF_A_LABEL)


def describe_origin(session: Session) -> str:
    """Describe the source and hub of a session: `gh/org/name/main at 1a2b3c4 on https://mybinder.org`."""
    try:
        spec: object = session_spec(session)
    except ClinderError:  # recorded by another version of clinder, with a provider unknown to this one
        spec = f"{session.provider}/{session.repo}/{session.ref}"
    if spec is None:
        return "started elsewhere"
    resolved = session.resolved_ref if session.resolved_ref != session.ref else ""
    commit = f" at {resolved[:_SHORT_COMMIT] if '/' not in resolved else resolved}" if resolved else ""
    return f"{spec}{commit} on {session.hub}"


def status_text(result: StatusResult) -> str:
    """Describe the recorded session in a few lines."""
    session, seen = result.session, result.seen
    if session is None or seen is None:
        rows = [("session", "none")]
    else:
        rows = [
            (seen.condition.value, session.url),
            ("reason", seen.reason or ""),
            ("from", describe_origin(session)),
            ("up since", _since(session.ready_at)),
            ("idle", _idle(seen.last_activity)),
            ("kernels", _number(seen.kernels)),
            ("connections", _number(seen.connections)),
        ]
        rows += [("drift", f"{item.key}: declared {item.declared}, running {item.running}") for item in result.drift]
    if result.state.pending:
        rows.append(("pending", f"a launch by {result.state.pending.process}"))
    rows += [("retired", f"{retired.url} (not yet confirmed stopped)") for retired in result.state.retired]
    return aligned(rows)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _since(moment: datetime | None) -> str:
    if moment is None:
        return ""
    age_s = max((datetime.now(UTC) - moment).total_seconds(), 0)
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({format_duration(round(age_s))})"


def _idle(last_activity: str | None) -> str:
    try:
        moment = datetime.fromisoformat(last_activity or "")
    except ValueError:
        return ""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return format_duration(round(max((datetime.now(UTC) - moment).total_seconds(), 0)))


def plan_text(plan: Plan) -> str:
    """Describe a plan, one line for each step and its cause."""
    rows = [(step.action.value, step.cause) for step in plan.steps]
    if plan.obstacle:
        rows.append(("blocked", plan.obstacle))
    return aligned(rows) or "nothing to do"


def state_text(state: State) -> str:
    """Describe the recorded state."""
    rows = [("serial", str(state.serial)), ("lineage", state.lineage)]
    if state.session:
        rows += [("session", state.session.url), ("from", describe_origin(state.session))]
    else:
        rows.append(("session", "none"))
    if state.pending:
        rows.append(("pending", f"a launch by {state.pending.process}"))
    rows += [("retired", retired.url) for retired in state.retired]
    return aligned(rows)


def hub_text(hub: str, report: HubReport, rate_limit: RateLimit | None) -> str:
    """Describe the report of a hub about itself."""
    limit = "unknown: hubs report it at each launch"
    if rate_limit:
        reset = datetime.fromtimestamp(rate_limit.reset_at, UTC).astimezone()
        limit = f"{rate_limit.remaining} of {rate_limit.limit} launches remaining, resets at {reset:%H:%M:%S}"
    checks = ((str(check.get("service")), "ok" if check.get("ok") else "failed") for check in report.checks)
    return aligned(
        [
            ("hub", hub),
            ("BinderHub", short_name(report.versions.get("binderhub", "")) or "no"),
            ("healthy", "yes" if report.healthy else "no"),
            *((f"  {service}", verdict) for service, verdict in checks),
            ("providers", listed(report.providers, _MOST_PROVIDERS)),
            ("rate limit", limit if report.is_binderhub else ""),
        ]
    )
