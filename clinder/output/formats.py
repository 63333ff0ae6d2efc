"""The form of every JSON document: its keys and their types. The JSON schema of the documentation is made from it.

(Its annotations are evaluated, since which keys may be absent is read from them.)
"""

from typing import Any, Literal, NotRequired, TypedDict


class PhaseSeconds(TypedDict):
    """How long a phase of a launch took."""

    phase: str
    seconds: float


class SessionSecrets(TypedDict, total=False):
    """The keys of a session that give control of it."""

    token: str
    uri: str


class SessionDocument(TypedDict):
    """A session; `token` and `uri` are secrets, and there only where they were asked for."""

    url: str
    token: NotRequired[str]
    uri: NotRequired[str]
    hub: str
    provider: str
    repo: str
    ref: str
    resolved_ref: str
    ref_url: str
    image: str
    launched_at: str | None
    ready_at: str | None
    phases: list[PhaseSeconds]


class LaunchedDocument(SessionDocument):
    """What `up` and `start` did, and the session that runs now."""

    action: Literal["launched", "kept", "replaced"]


class StoppedDocument(TypedDict):
    """What `down` and `stop` did."""

    action: Literal["stopped", "already gone", "nothing to stop"]
    url: str | None


class StepDocument(TypedDict):
    """One step of a plan, and why it is in it."""

    action: Literal["launch", "stop", "keep", "forget"]
    cause: str


class PlanDocument(TypedDict):
    """What `up` would do."""

    changes: bool
    steps: list[StepDocument]
    obstacle: str | None


class DriftDocument(TypedDict):
    """One thing in which the running session is not as declared."""

    key: str
    declared: str
    running: str


class ProcessDocument(TypedDict):
    """Who does something, since when."""

    operation: str
    user: str
    host: str
    pid: int
    since: str | None


class PendingDocument(TypedDict):
    """A launch that is under way, or was cut off."""

    hub: str
    provider: str
    repo: str
    ref: str
    process: ProcessDocument


class Leftovers(TypedDict):
    """What else is recorded."""

    pending: PendingDocument | None
    retired: list[SessionDocument]


class NoSessionDocument(TypedDict):
    """The keys of a session where there is none."""

    url: None
    hub: None
    provider: None
    repo: None
    ref: None
    resolved_ref: None
    ref_url: None
    image: None
    launched_at: None
    ready_at: None
    phases: None


class StatusDocument(Leftovers):
    """The recorded session, looked at live; without one, its keys are null."""

    url: str | None
    token: NotRequired[str]
    uri: NotRequired[str]
    hub: str | None
    provider: str | None
    repo: str | None
    ref: str | None
    resolved_ref: str | None
    ref_url: str | None
    image: str | None
    launched_at: str | None
    ready_at: str | None
    phases: list[PhaseSeconds] | None
    state: Literal["running", "gone", "unreachable", "none"]
    reason: str
    checked_at: str | None
    last_activity: str | None
    kernels: int | None
    connections: int | None
    drift: list[DriftDocument]


class StateDocument(Leftovers):
    """What is recorded."""

    version: int
    serial: int
    lineage: str
    clinder_version: str
    session: SessionDocument | None


class PastPhase(PhaseSeconds):
    """How long a phase took, and the median of earlier launches of the same repository."""

    median_seconds: float | None


class PastLaunchDocument(TypedDict):
    """A launch that is logged here."""

    name: str
    path: str
    hub: str
    provider: str | None
    repo: str | None
    ref: str | None
    outcome: str | None
    phases: list[PastPhase]
    log: str


class RateLimitDocument(TypedDict):
    """How many launches a hub allows; `reset_at` in seconds since 1970."""

    remaining: int
    limit: int
    reset_at: int


class HubDocument(TypedDict):
    """What a hub says of itself."""

    hub: str
    is_binderhub: bool
    healthy: bool
    versions: dict[str, Any]
    checks: list[dict[str, Any]]
    providers: list[str]
    rate_limit: RateLimitDocument | None
    problem: str | None


class ErrorDocument(TypedDict):
    """Why a command failed, and what to do about it."""

    kind: str
    message: str
    hint: str


class FailureDocument(TypedDict):
    """What a command that fails prints; a session that is there all the same stands beside the error."""

    error: ErrorDocument
    session: NotRequired[SessionDocument]


DOCUMENTS: dict[str, type] = {
    "up": LaunchedDocument,
    "start": LaunchedDocument,
    "status": StatusDocument,
    "plan": PlanDocument,
    "down": StoppedDocument,
    "stop": StoppedDocument,
    "hub check": HubDocument,
    "state show": StateDocument,
    "logs": PastLaunchDocument,
}
"""By command, what `--json` prints where it succeeds, after `format_version`."""
