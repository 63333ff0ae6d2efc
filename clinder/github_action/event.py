"""The repository and ref of a workflow run, from the event that started it.

A hub clones from GitHub. A pull request's workflow checks out a merge commit that GitHub creates for the run and that
is on no branch. So the head of the pull request is used instead, from the repository that contains it. (Names of
variables and fields: docs.github.com, "Events that trigger workflows" and "Webhook events and payloads".)
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinder.model.display import show_value
from clinder.model.errors import UsageError
from clinder.model.repository import read_repository

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_SHORT = 12
_PULL_REQUESTS = ("pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment")
_SET_THEM = "Set the repository and ref with the inputs repo and ref, or in clinder.toml."


@dataclass(frozen=True, slots=True)
class Source:
    """The repository and ref to launch, and why they were selected.

    Attributes:
        repo: the repository, in the form of the setting `repo`.
        ref: a commit, or HEAD.
        why: the origin of the two, as a phrase that follows a comma.
        is_private: whether the repository is private, so that a hub needs a credential to clone it.
    """

    repo: str
    ref: str
    why: str
    is_private: bool = False

    def __str__(self) -> str:
        return f"{self.repo} at {self.ref[:_SHORT]}, {self.why}"


@dataclass(frozen=True, slots=True)
class _Run:
    """A workflow run: its environment variables and the payload of its event."""

    environment: Mapping[str, str]
    payload: Mapping[str, Any]

    def variable(self, name: str) -> str:
        return self.environment.get(f"GITHUB_{name}", "")

    def field(self, path: str) -> Any:
        """Get the field `a.b.c` of the payload; `None` if there is none."""
        found: Any = self.payload
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def source(self, repository: object, commit: object, why: str, *, private: object = None) -> Source:
        """Make a source from a repository's name and a commit; without a commit, use the default branch."""
        if not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"the event does not name the repository ({why})", hint=_SET_THEM)
        is_commit = isinstance(commit, str) and _COMMIT.fullmatch(commit) and commit.strip("0")
        server = self.variable("SERVER_URL").rstrip("/")
        link = read_repository(f"{server}/{repository}" if server else repository)
        is_private = self.field("repository.private") if private is None else private
        return Source(link.text, str(commit) if is_commit else "HEAD", why, is_private is True)


def read_source(environment: Mapping[str, str] | None = None) -> Source:
    """Get the repository and ref of this run.

    Args:
        environment: `GITHUB_EVENT_NAME`, `GITHUB_EVENT_PATH` and others; `os.environ` by default.

    Raises:
        UsageError: the event names no repository; the hint says what to do.
    """
    environment = os.environ if environment is None else environment
    name = environment.get("GITHUB_EVENT_NAME", "")
    run = _Run(environment, _read_payload(environment.get("GITHUB_EVENT_PATH", "")))
    if name in _PULL_REQUESTS:
        return _pull_request(run)
    if name == "workflow_run":
        return _workflow_run(run)
    if name == "merge_group":
        base = _branch(run.field("merge_group.base_ref"))
        why = f"the merge queue's branch for {base}: the future state of {base}"
        return run.source(run.variable("REPOSITORY"), run.field("merge_group.head_sha"), why)
    if name == "push":
        return _push(run)
    return run.source(run.variable("REPOSITORY"), run.variable("SHA"), _why_this_commit(name, run))


def _read_payload(path: str) -> Mapping[str, Any]:
    try:
        payload = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _pull_request(run: _Run) -> Source:
    number = run.field("pull_request.number")
    head, base = run.field("pull_request.head.repo.full_name"), run.field("pull_request.base.repo.full_name")
    if not head:
        raise UsageError(
            f"the head repository of pull request #{number} was deleted, so no hub can clone it",
            hint=_SET_THEM,
        )
    where = f"a branch of {base}" if head == base else f"the fork {head}"
    why = f"the head of pull request #{number} from {where}: a hub cannot fetch the merge commit that GitHub creates"
    private = run.field("pull_request.head.repo.private")
    return run.source(head, run.field("pull_request.head.sha"), why, private=private)


def _workflow_run(run: _Run) -> Source:
    before = run.field("workflow_run.name") or "before"
    head, own = run.field("workflow_run.head_repository.full_name"), run.variable("REPOSITORY")
    if not head:
        raise UsageError(
            f"the repository that the workflow {show_value(before)} ran for was deleted, so no hub can clone it",
            hint=_SET_THEM,
        )
    where = "" if head == own else f" from the fork {head}"
    why = f"the commit{where} that the workflow {show_value(before)} ran for, not that of the default branch"
    private = run.field("workflow_run.head_repository.private")
    return run.source(head, run.field("workflow_run.head_sha"), why, private=private)


def _push(run: _Run) -> Source:
    ref = run.variable("REF")
    if ref.startswith("refs/tags/"):
        # For an annotated tag, `after` is the tag object; the commit is in head_commit.
        commit, why = run.field("head_commit.id") or run.variable("SHA"), f"the commit of the tag {_branch(ref)}"
    else:
        commit, why = run.variable("SHA"), f"the commit that was pushed to {_branch(ref)}"
    return run.source(run.variable("REPOSITORY"), commit, why)


def _branch(ref: object) -> str:
    text = ref if isinstance(ref, str) else ""
    return re.sub(r"^refs/(heads|tags)/", "", text) or "the default branch"


def _why_this_commit(event: str, run: _Run) -> str:
    if event == "schedule":
        return "the latest commit of the default branch when the scheduled run was started"
    if event == "workflow_dispatch":
        return f"the commit of {_branch(run.variable('REF'))}, for which the workflow was started"
    return f"the commit of this run (event {event or 'unknown'})"
