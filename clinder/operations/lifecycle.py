"""`up`, `down` and `state forget` and `adopt`: read the state, make a plan, apply it, all under the lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clinder.model.errors import NoSessionError, StateError, UnreachableError
from clinder.model.events import Message
from clinder.model.observation import Condition
from clinder.net.loopback import exposure
from clinder.operations.apply import Work
from clinder.operations.inspect import UpOptions, desired_state, observe_all
from clinder.operations.plan import plan
from clinder.operations.probe import observe_session
from clinder.operations.results import DownAction, DownResult
from clinder.state import StateFolder

if TYPE_CHECKING:
    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext
    from clinder.operations.results import UpResult


def up(config: Config, context: RunContext, options: UpOptions = UpOptions()) -> UpResult:
    """Make the declared session run: keep it, launch it, or replace what runs instead.

    Raises:
        ClinderError: nothing was lost; what runs is recorded, or borne by the error.
    """
    desired = desired_state(config, options)
    if desired.ref_is_gone:
        context.on_event(Message(f"the repository has no branch or tag {desired.spec.ref} any more", warning=True))
    with Work(config, context, "up") as work:
        decided = plan(desired, work.state, observe_all(work.state, config, pause=context.interrupts.sleep))
        if decided.obstacle:
            work.carry_out(decided.steps)
            raise UnreachableError(
                decided.obstacle,
                hint="Try again later; `clinder up --replace` launches another one and stops this one when it can, "
                "`clinder state forget` drops it.",
            )
        return work.carry_out_up(decided)


def down(config: Config, context: RunContext) -> DownResult:
    """Stop the recorded session and those retired, wait until they are seen to be gone, and forget them.

    Raises:
        ClinderError: a session could not be stopped; it stays recorded.
    """
    if not StateFolder.of(config).is_there():
        return DownResult(DownAction.NOTHING, None)
    with Work(config, context, "down") as work:
        return work.carry_out_down(
            plan(None, work.state, observe_all(work.state, config, pause=context.interrupts.sleep))
        )


def forget(config: Config, context: RunContext, url: str | None = None) -> list[Session]:
    """Drop every record of sessions without touching them, or that of one; returns what was recorded.

    Raises:
        NoSessionError: none is recorded at that URL.
    """
    with Work(config, context, "state forget") as work:
        session, retired = work.state.session, work.state.retired
        known = [*retired, *([session] if session else [])]
        if url is None:
            work.write(session=None, retired=(), pending=None)
            return known
        dropped = [each for each in known if each.url.rstrip("/") == url.partition("?")[0].rstrip("/")]
        if not dropped:
            raise NoSessionError("no session is recorded at that URL", hint="`clinder state show` lists them.")
        work.write(
            session=None if session in dropped else session,
            retired=tuple(each for each in retired if each not in dropped),
        )
        return dropped


def adopt(config: Config, context: RunContext, session: Session) -> Session:
    """Take in a session that was started elsewhere, after a look at it; what it was built from is as declared.

    Raises:
        StateError: another session is recorded already.
        UnreachableError, NoSessionError: it does not run.
    """
    with Work(config, context, "state adopt") as work:
        if work.state.session and work.state.session.url != session.url:
            raise StateError(
                f"a session is recorded already: {work.state.session.url}",
                hint="`clinder down` stops it, `clinder state forget` drops it.",
            )
        if danger := exposure(session.url):
            context.on_event(Message(danger, warning=True))
        seen = observe_session(session, timeouts=config.timeouts, pause=context.interrupts.sleep)
        if seen.condition is Condition.GONE:
            raise NoSessionError(f"{session.url} does not run: {seen.reason}")
        if seen.condition is Condition.UNREACHABLE:
            raise UnreachableError(f"{session.url} cannot be adopted: {seen.reason}")
        if config.link:
            spec = config.spec()
            session = replace(session, hub=config.hubs[0], provider=spec.provider, repo=spec.repo, ref=spec.ref)
        others = tuple(each for each in work.state.retired if each.url != session.url)
        work.write(session=session, retired=others)
        return session


def release(config: Config, context: RunContext, session: Session) -> None:
    """Stop a session that this process made `up` launch, and forget it; nothing if it is recorded no more.

    Raises:
        ClinderError: it could not be stopped; it stays recorded.
    """
    with Work(config, context, "run") as work:
        for recorded in (work.state.session, *work.state.retired):
            if recorded and recorded.url == session.url:
                work.stop(recorded)
