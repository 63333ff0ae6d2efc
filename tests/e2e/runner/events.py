"""Events as GitHub sends them: name, payload and variables, reduced to what workflows use.

Based on docs.github.com, "Events that trigger workflows" and "Webhook events and payloads".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD, MERGE, DEFAULT, TAG = "1" * 40, "2" * 40, "3" * 40, "4" * 40
OWN = {"full_name": "org/name", "private": False, "default_branch": "main"}
FORK = {"full_name": "student/name", "private": False, "fork": True}


@dataclass(frozen=True)
class Event:
    """An event, and the expected launch.

    Attributes:
        name: the value of `GITHUB_EVENT_NAME`.
        payload: the contents of `GITHUB_EVENT_PATH`.
        variables: other variables of the event, without `GITHUB_`.
        spec: the expected repository spec; empty if it cannot be determined.
        why: words that the log must contain.
    """

    name: str
    payload: Mapping[str, Any]
    variables: Mapping[str, str]
    spec: str
    why: str
    repository: Mapping[str, Any] = field(default_factory=lambda: OWN)

    def job(self) -> dict[str, Any]:
        """The arguments for a `Job`."""
        payload = {"repository": self.repository, **self.payload}
        return {"event": (self.name, payload), "variables": dict(self.variables)}


def pull_request(head: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    request = {
        "number": 12,
        "merge_commit_sha": MERGE,
        "head": {"ref": "feature", "sha": HEAD, "repo": head},
        "base": {"ref": "main", "sha": DEFAULT, "repo": OWN},
    }
    return {"action": "synchronize", "number": 12, "pull_request": request, **more}


def workflow_run(head: Mapping[str, Any] | None) -> dict[str, Any]:
    run = {"name": "tests", "event": "pull_request", "head_branch": "feature", "head_sha": HEAD}
    return {"action": "completed", "workflow_run": {**run, "head_repository": head}}


_MERGE = {"SHA": MERGE, "REF": "refs/pull/12/merge", "HEAD_REF": "feature", "BASE_REF": "main"}
_DEFAULT = {"SHA": DEFAULT, "REF": "refs/heads/main"}
_QUEUE = f"refs/heads/gh-readonly-queue/main/pr-12-{DEFAULT}"

EVENTS = {
    "push": Event(
        "push",
        {"ref": "refs/heads/feature/x", "after": HEAD, "deleted": False, "head_commit": {"id": HEAD}},
        {"SHA": HEAD, "REF": "refs/heads/feature/x"},
        f"org/name/{HEAD}",
        "the commit that was pushed to feature/x",
    ),
    "tag": Event(
        "push",
        {"ref": "refs/tags/v1.0", "after": TAG, "head_commit": {"id": HEAD}},
        {"SHA": TAG, "REF": "refs/tags/v1.0"},
        f"org/name/{HEAD}",
        "the commit of the tag v1.0",
    ),
    "schedule": Event("schedule", {"schedule": "5 4 * * *"}, _DEFAULT, f"org/name/{DEFAULT}", "the scheduled run"),
    "workflow_dispatch": Event(
        "workflow_dispatch",
        {"ref": "refs/heads/feature", "inputs": {}},
        {"SHA": HEAD, "REF": "refs/heads/feature"},
        f"org/name/{HEAD}",
        "the commit of feature, for which the workflow was started",
    ),
    "workflow_run of a branch": Event(
        "workflow_run", workflow_run(OWN), _DEFAULT, f"org/name/{HEAD}", "the commit that the workflow 'tests' ran for"
    ),
    "workflow_run of a fork": Event(
        "workflow_run", workflow_run(FORK), _DEFAULT, f"student/name/{HEAD}", "from the fork student/name"
    ),
    "pull_request of a branch": Event(
        "pull_request", pull_request(OWN), _MERGE, f"org/name/{HEAD}", "pull request #12 from a branch of org/name"
    ),
    "pull_request of a fork": Event(
        "pull_request",
        pull_request(FORK),
        _MERGE,
        f"student/name/{HEAD}",
        "pull request #12 from the fork student/name",
    ),
    "pull_request of a fork that is gone": Event(
        "pull_request", pull_request(None), _MERGE, "", "the head repository of pull request #12 was deleted"
    ),
    "pull_request_target of a fork": Event(
        "pull_request_target", pull_request(FORK), _DEFAULT, f"student/name/{HEAD}", "from the fork student/name"
    ),
    "merge_group": Event(
        "merge_group",
        {
            "action": "checks_requested",
            "merge_group": {"head_sha": HEAD, "head_ref": _QUEUE, "base_ref": "refs/heads/main"},
        },
        {"SHA": HEAD, "REF": _QUEUE},
        f"org/name/{HEAD}",
        "the merge queue's branch for main",
    ),
    "issue_comment": Event(
        "issue_comment",
        {"issue": {"number": 12}},
        _DEFAULT,
        f"org/name/{DEFAULT}",
        "the commit of this run (event issue_comment)",
    ),
    "a server of one's own": Event(
        "push",
        {"after": HEAD, "head_commit": {"id": HEAD}},
        {"SHA": HEAD, "REF": "refs/heads/main", "SERVER_URL": "https://git.example.org"},
        f"git/https%3A%2F%2Fgit.example.org%2Forg%2Fname/{HEAD}",
        "the commit that was pushed to main",
    ),
}
"""Every event that workflows typically run for, by kind."""
