"""The plan for each combination of desired, recorded and observed session, as `clinder plan` shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from clinder.model.observation import Condition, Observation
from clinder.model.repository import RepositorySpec
from clinder.model.session import Session
from clinder.operations.plan import Action, Desired, plan
from clinder.output.text import plan_text
from clinder.state import Pending, Process, State

HUB = "https://mybinder.org"
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40


def session(name: str = "x", **changes: str) -> Session:
    usual = Session(
        url=f"https://h/{name}/",
        token="t",
        hub=HUB,
        provider="gh",
        repo="org/name",
        ref="main",
        resolved_ref=OLD,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # all of them are strings


SPEC = RepositorySpec("gh", "org/name", "main")
WANTED = Desired((HUB, "local"), SPEC)
REPLACE = Desired((HUB,), SPEC, replace=True)
LATEST = Desired((HUB,), SPEC, newest_commit=NEW, wants_newest=True)
CHECKED = Desired((HUB,), SPEC, newest_commit=NEW)
REF_GONE = Desired((HUB,), SPEC, wants_newest=True, ref_is_gone=True)
PENDING = Pending(
    hub=HUB,
    provider="gh",
    repo="org/name",
    ref="main",
    process=Process(operation="up", user="me", host="here", pid=7, since=NOW),
)
SEEN = {
    "running": Observation(Condition.RUNNING, None, NOW),
    "gone": Observation(Condition.GONE, "HTTP 404", NOW),
    "unreachable": Observation(Condition.UNREACHABLE, "HTTP 503", NOW),
}
UNFINISHED = (
    f"forget  the launch by {PENDING.process} never finished; if it started a session, the hub will stop that session "
    "once it is idle"
)

TABLE = [
    # desired, recorded session, its condition, plan
    (None, None, "", "nothing to do"),
    (WANTED, None, "", "launch  no session is recorded"),
    (REPLACE, None, "", "launch  no session is recorded"),
    (None, session(), "running", "stop  the session is no longer wanted"),
    (None, session(), "unreachable", "stop  the session is no longer wanted"),
    (None, session(), "gone", "forget  the session is gone: HTTP 404"),
    (WANTED, session(), "running", "keep  the session is running as declared"),
    (WANTED, session(hub="local"), "running", "keep  the session is running as declared"),
    (WANTED, session(hub="", provider="", repo="", ref=""), "running", "keep  the session is running as declared"),
    (
        WANTED,
        session(),
        "gone",
        "forget  the session is gone: HTTP 404\nlaunch  the recorded session is gone",
    ),
    (
        WANTED,
        session(),
        "unreachable",
        "blocked  the recorded session https://h/x/ cannot be checked (HTTP 503), so it may still be running",
    ),
    (
        WANTED,
        session(ref="v1"),
        "unreachable",
        "blocked  the recorded session https://h/x/ cannot be checked (HTTP 503), so it may still be running",
    ),
    (
        WANTED,
        session(ref="v1"),
        "running",
        "launch  the session's ref is v1, but main is declared\nstop    replaced by the new session",
    ),
    (
        WANTED,
        session(provider="gl", repo="other/name"),
        "running",
        "launch  the session's repo is gl:other/name, but gh:org/name is declared\nstop    replaced by the new session",
    ),
    (
        WANTED,
        session(hub="https://other.org", ref="v1"),
        "running",
        f"launch  the session's hub is https://other.org, but {HUB}, local is declared; "
        "the session's ref is v1, but main is declared\n"
        "stop    replaced by the new session",
    ),
    (
        WANTED,
        session(ref="v1"),
        "gone",
        "forget  the session is gone: HTTP 404\nlaunch  the recorded session is gone",
    ),
    (
        REPLACE,
        session(),
        "running",
        "launch  a new session was requested (--replace)\nstop    replaced by the new session",
    ),
    (
        REPLACE,
        session(),
        "unreachable",
        "launch  a new session was requested (--replace)\nstop    replaced by the new session",
    ),
    (
        REPLACE,
        session(),
        "gone",
        "forget  the session is gone: HTTP 404\nlaunch  the recorded session is gone",
    ),
    (
        LATEST,
        session(),
        "running",
        "launch  main has moved from aaaaaaaaaaaa to bbbbbbbbbbbb\nstop    replaced by the new session",
    ),
    (LATEST, session(resolved_ref=NEW), "running", "keep  the session is running as declared"),
    (LATEST, session(resolved_ref=""), "running", "keep  the session is running as declared"),
    (
        REF_GONE,
        session(),
        "running",
        "keep  the session is running as declared, but the repository no longer has a branch or tag main",
    ),
    (
        CHECKED,
        session(),
        "running",
        "keep  the session is running as declared, but main has moved from aaaaaaaaaaaa to bbbbbbbbbbbb: "
        "`clinder up --latest` replaces it",
    ),
]


@pytest.mark.parametrize(("desired", "recorded", "seen", "text"), TABLE)
def test_the_plan_for_a_recorded_session(
    desired: Desired | None, recorded: Session | None, seen: str, text: str
) -> None:
    observed = {recorded.url: SEEN[seen]} if recorded else {}
    assert plan_text(plan(desired, State(session=recorded), observed)) == text


@pytest.mark.parametrize(
    ("desired", "seen", "text"),
    [
        (None, "running", "stop  no longer wanted and not confirmed stopped"),
        (None, "unreachable", "stop  no longer wanted and not confirmed stopped"),
        (None, "gone", "forget  the session is gone: HTTP 404"),
        (WANTED, "unreachable", "stop    no longer wanted and not confirmed stopped\nlaunch  no session is recorded"),
        (WANTED, "gone", "forget  the session is gone: HTTP 404\nlaunch  no session is recorded"),
    ],
)
def test_retired_sessions_are_stopped_again_until_they_are_gone(desired: Desired | None, seen: str, text: str) -> None:
    state = State(retired=(session("old"),))
    assert plan_text(plan(desired, state, {"https://h/old/": SEEN[seen]})) == text


@pytest.mark.parametrize(
    ("desired", "text"), [(None, UNFINISHED), (WANTED, f"{UNFINISHED}\nlaunch  no session is recorded")]
)
def test_an_unfinished_launch_is_reported_first(desired: Desired | None, text: str) -> None:
    assert plan_text(plan(desired, State(pending=PENDING), {})) == text


ALL = list(product([None, WANTED, REPLACE, LATEST], [None, *SEEN], [None, *SEEN], [None, PENDING], ["main", "v1"]))


@pytest.mark.parametrize("case", ALL)
def test_every_plan_is_safe(
    case: tuple[Desired | None, str | None, str | None, Pending | None, str],
) -> None:
    desired, seen, retired_seen, pending, ref = case
    current = session(ref=ref) if seen else None
    retired = (session("old"),) if retired_seen else ()
    observed = {
        known.url: SEEN[how] for known, how in ((current, seen), (session("old"), retired_seen)) if known and how
    }
    decided = plan(desired, State(session=current, retired=retired, pending=pending), observed)
    actions = [step.action for step in decided.steps]
    ends = [step.session.url for step in decided.steps if step.session and step.action is not Action.KEEP]
    assert all(step.cause for step in decided.steps)
    assert actions.count(Action.LAUNCH) <= 1
    assert ("https://h/old/" in ends) is bool(retired), "a retired session is always stopped or forgotten"
    assert len(ends) == len(set(ends)), "no session is stopped or forgotten twice"
    if desired is None:
        assert Action.LAUNCH not in actions
        assert Action.KEEP not in actions
        assert ("https://h/x/" in ends) is bool(current)
    elif decided.obstacle:
        assert seen == "unreachable"
        assert not desired.replace
        assert Action.LAUNCH not in actions
        assert "https://h/x/" not in ends
    else:
        assert (Action.LAUNCH in actions) is not (Action.KEEP in actions), "exactly one session is running at the end"
        if Action.STOP in actions[actions.index(Action.LAUNCH) :] if Action.LAUNCH in actions else False:
            assert actions[-1] is Action.STOP, "the old session is stopped after the new one is launched"
    assert decided.changes is (bool(decided.obstacle) or any(action is not Action.KEEP for action in actions))
