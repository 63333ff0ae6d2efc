"""The keys and types of every JSON document; the JSON schema in the documentation is generated from them.

(No `from __future__ import annotations`: the generator evaluates the annotations to find the optional keys.)
"""

from typing import Any, Literal, NotRequired, TypedDict


class PhaseSeconds(TypedDict):
    """The duration of a phase of a launch."""

    phase: str
    seconds: float


class SessionSecrets(TypedDict, total=False):
    """The keys of a session that give control of it."""

    token: str
    uri: str


class SessionDocument(TypedDict):
    """A session; `token` and `uri` are secrets and only present on request."""

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
    """The result of `up` and `start`, and the session that is now running."""

    action: Literal["launched", "kept", "replaced"]


class StoppedDocument(TypedDict):
    """The result of `down` and `stop`."""

    action: Literal["stopped", "already gone", "nothing to stop"]
    url: str | None


class StepDocument(TypedDict):
    """One step of a plan, and its cause."""

    action: Literal["launch", "stop", "keep", "forget"]
    cause: str


class PlanDocument(TypedDict):
    """The steps that `up` would take."""

    changes: bool
    steps: list[StepDocument]
    obstacle: str | None


class DriftDocument(TypedDict):
    """One difference between the declared and the running session."""

    key: str
    declared: str
    running: str


class ProcessDocument(TypedDict):
    """The process that performs an operation, and when it began."""

    operation: str
    user: str
    host: str
    pid: int
    since: str | None


class PendingDocument(TypedDict):
    """A launch that is in progress or was interrupted."""

    hub: str
    provider: str
    repo: str
    ref: str
    process: ProcessDocument


class Leftovers(TypedDict):
    """The other recorded sessions."""

    pending: PendingDocument | None
    retired: list[SessionDocument]


class NoSessionDocument(TypedDict):
    """The keys of a session when there is none."""

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
    """The recorded session and its observed state; without a session, its keys are null."""

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
    """The recorded state."""

    version: int
    serial: int
    lineage: str
    clinder_version: str
    session: SessionDocument | None


class PastPhase(PhaseSeconds):
    """The duration of a phase, and its median over earlier launches of the same repository."""

    median_seconds: float | None


class PastLaunchDocument(TypedDict):
    """A logged launch."""

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
    """The launch rate limit of a hub; `reset_at` is in seconds since 1970."""

    remaining: int
    limit: int
    reset_at: int


class HubDocument(TypedDict):
    """The report of a hub about itself."""

    hub: str
    is_binderhub: bool
    healthy: bool
    versions: dict[str, Any]
    checks: list[dict[str, Any]]
    providers: list[str]
    rate_limit: RateLimitDocument | None
    problem: str | None


class ErrorDocument(TypedDict):
    """The reason why a command failed, and what to do about it."""

    kind: str
    message: str
    hint: str


class FailureDocument(TypedDict):
    """The output of a command that fails; `session` is present if a session was launched despite the error."""

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
"""The document that `--json` prints after `format_version` when a command succeeds, by command."""
