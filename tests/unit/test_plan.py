"""The decision, as one table: what is desired, recorded and seen; and the plan as `clinder plan` shows it."""

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
    return replace(usual, **changes)  # type: ignore[arg-type]  # texts all of them


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
    "runs": Observation(Condition.RUNNING, "", NOW),
    "gone": Observation(Condition.GONE, "HTTP 404", NOW),
    "away": Observation(Condition.UNREACHABLE, "HTTP 503", NOW),
}
LEFT = (
    f"forget  the launch of {PENDING.process} never finished; a session that it started ends when its hub finds it idle"
)

TABLE = [
    # desired, the recorded session, how it is seen, the plan
    (None, None, "", "nothing to do"),
    (WANTED, None, "", "launch  no session is recorded"),
    (REPLACE, None, "", "launch  no session is recorded"),
    (None, session(), "runs", "stop  the session is no longer wanted"),
    (None, session(), "away", "stop  the session is no longer wanted"),
    (None, session(), "gone", "forget  the session is gone: HTTP 404"),
    (WANTED, session(), "runs", "keep  the session runs as declared"),
    (WANTED, session(hub="local"), "runs", "keep  the session runs as declared"),
    (WANTED, session(hub="", provider="", repo="", ref=""), "runs", "keep  the session runs as declared"),
    (
        WANTED,
        session(),
        "gone",
        "forget  the session is gone: HTTP 404\nlaunch  the recorded session is gone",
    ),
    (
        WANTED,
        session(),
        "away",
        "stuck  the recorded session https://h/x/ cannot be looked at (HTTP 503), which does not mean that it is gone",
    ),
    (
        WANTED,
        session(ref="v1"),
        "away",
        "stuck  the recorded session https://h/x/ cannot be looked at (HTTP 503), which does not mean that it is gone",
    ),
    (
        WANTED,
        session(ref="v1"),
        "runs",
        "launch  ref is declared main, but v1 runs\nstop    replaced by the new session",
    ),
    (
        WANTED,
        session(provider="gl", repo="other/name"),
        "runs",
        "launch  repo is declared gh:org/name, but gl:other/name runs\nstop    replaced by the new session",
    ),
    (
        WANTED,
        session(hub="https://other.org", ref="v1"),
        "runs",
        f"launch  hub is declared {HUB}, local, but https://other.org runs; ref is declared main, but v1 runs\n"
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
        "runs",
        "launch  a new session was asked for (--replace)\nstop    replaced by the new session",
    ),
    (
        REPLACE,
        session(),
        "away",
        "launch  a new session was asked for (--replace)\nstop    replaced by the new session",
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
        "runs",
        "launch  main is now at bbbbbbbbbbbb, and aaaaaaaaaaaa runs\nstop    replaced by the new session",
    ),
    (LATEST, session(resolved_ref=NEW), "runs", "keep  the session runs as declared"),
    (LATEST, session(resolved_ref=""), "runs", "keep  the session runs as declared"),
    (
        REF_GONE,
        session(),
        "runs",
        "keep  the session runs as declared, though its repository has no branch or tag main any more",
    ),
    (
        CHECKED,
        session(),
        "runs",
        "keep  the session runs as declared, though main is now at bbbbbbbbbbbb, and aaaaaaaaaaaa runs: "
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
        (None, "runs", "stop  no longer wanted and not yet seen to be gone"),
        (None, "away", "stop  no longer wanted and not yet seen to be gone"),
        (None, "gone", "forget  the session is gone: HTTP 404"),
        (WANTED, "away", "stop    no longer wanted and not yet seen to be gone\nlaunch  no session is recorded"),
        (WANTED, "gone", "forget  the session is gone: HTTP 404\nlaunch  no session is recorded"),
    ],
)
def test_retired_sessions_are_tried_again_until_they_are_gone(desired: Desired | None, seen: str, text: str) -> None:
    state = State(retired=(session("old"),))
    assert plan_text(plan(desired, state, {"https://h/old/": SEEN[seen]})) == text


@pytest.mark.parametrize(("desired", "text"), [(None, LEFT), (WANTED, f"{LEFT}\nlaunch  no session is recorded")])
def test_a_launch_that_never_finished_is_told_of_first(desired: Desired | None, text: str) -> None:
    assert plan_text(plan(desired, State(pending=PENDING), {})) == text


ALL = list(product([None, WANTED, REPLACE, LATEST], [None, *SEEN], [None, *SEEN], [None, PENDING], ["main", "v1"]))


@pytest.mark.parametrize("case", ALL)
def test_every_plan_keeps_these_promises(
    case: tuple[Desired | None, str | None, str | None, Pending | None, str],
) -> None:
    desired, seen, retired_seen, left, ref = case
    current = session(ref=ref) if seen else None
    retired = (session("old"),) if retired_seen else ()
    observed = {
        known.url: SEEN[how] for known, how in ((current, seen), (session("old"), retired_seen)) if known and how
    }
    decided = plan(desired, State(session=current, retired=retired, pending=left), observed)
    actions = [step.action for step in decided.steps]
    ends = [step.session.url for step in decided.steps if step.session and step.action is not Action.KEEP]
    assert all(step.cause for step in decided.steps)
    assert actions.count(Action.LAUNCH) <= 1
    assert ("https://h/old/" in ends) is bool(retired), "a retired session is stopped or forgotten, always"
    assert len(ends) == len(set(ends)), "no session is ended twice"
    if desired is None:
        assert Action.LAUNCH not in actions
        assert Action.KEEP not in actions
        assert ("https://h/x/" in ends) is bool(current)
    elif decided.obstacle:
        assert seen == "away"
        assert not desired.replace
        assert Action.LAUNCH not in actions
        assert "https://h/x/" not in ends
    else:
        assert (Action.LAUNCH in actions) is not (Action.KEEP in actions), "a session runs in the end, and only one"
        if Action.STOP in actions[actions.index(Action.LAUNCH) :] if Action.LAUNCH in actions else False:
            assert actions[-1] is Action.STOP, "the old one is stopped after the new one runs"
    assert decided.changes is (bool(decided.obstacle) or any(action is not Action.KEEP for action in actions))
