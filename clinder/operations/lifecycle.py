"""The commands that change the recorded state: `up`, `down`, `state forget`, `state adopt`, and the end of `run`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clinder.model.errors import NoSessionError, StateError, UnreachableError
from clinder.model.events import Message
from clinder.model.observation import Condition
from clinder.model.wording import because
from clinder.net.loopback import exposure
from clinder.operations.apply import PlanExecutor
from clinder.operations.inspect import UpOptions, desired_state, observe_all
from clinder.operations.plan import plan
from clinder.operations.probe import observe_session
from clinder.operations.results import DownAction, DownResult
from clinder.operations.transaction import StateTransaction
from clinder.state import StateFolder

if TYPE_CHECKING:
    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext
    from clinder.operations.results import UpResult


def up(config: Config, context: RunContext, options: UpOptions = UpOptions()) -> UpResult:
    """Ensure that the declared session is running: keep, launch or replace it.

    Raises:
        ClinderError: `up` failed. Every session that may be running is recorded, or carried by the error.
    """
    desired = desired_state(config, options)
    if desired.ref_is_gone:
        context.on_event(Message(f"the repository no longer has a branch or tag {desired.spec.ref}", warning=True))
    with StateTransaction.begin(config, context, "up") as transaction:
        observed = observe_all(transaction.state, config, pause=context.interrupts.sleep)
        return PlanExecutor(config, context, transaction).apply_up(plan(desired, transaction.state, observed))


def down(config: Config, context: RunContext) -> DownResult:
    """Stop the recorded sessions, wait until they are confirmed stopped, and remove their records.

    Raises:
        ClinderError: a session could not be stopped; it stays recorded.
    """
    if not StateFolder.of(config).is_there():
        return DownResult(DownAction.NOTHING, None)
    with StateTransaction.begin(config, context, "down") as transaction:
        observed = observe_all(transaction.state, config, pause=context.interrupts.sleep)
        return PlanExecutor(config, context, transaction).apply_down(plan(None, transaction.state, observed))


def forget(config: Config, context: RunContext, url: str | None = None) -> list[Session]:
    """Remove the records of all sessions, or of one, without stopping any.

    Args:
        config: the configuration.
        context: what the command runs under.
        url: the session to forget; all of them if omitted.

    Returns:
        The sessions that were recorded.

    Raises:
        NoSessionError: no session is recorded at the URL.
    """
    with StateTransaction.begin(config, context, "state forget") as transaction:
        sessions = transaction.state.sessions
        if url is None:
            transaction.write(session=None, retired=(), pending=None)
            return list(sessions)
        forgotten = [each for each in sessions if each.url.rstrip("/") == url.partition("?")[0].rstrip("/")]
        if not forgotten:
            raise NoSessionError("no session is recorded at that URL", hint="`clinder state show` lists them.")
        transaction.forget(*forgotten)
        return forgotten


def adopt(config: Config, context: RunContext, session: Session) -> Session:
    """Record a session that was started elsewhere, after checking that it is running.

    Its hub and repository are assumed to be the declared ones.

    Raises:
        StateError: another session is already recorded.
        UnreachableError: the session cannot be reached.
        NoSessionError: the session is not running.
    """
    with StateTransaction.begin(config, context, "state adopt") as transaction:
        state = transaction.state
        if state.session and state.session.url != session.url:
            raise StateError(
                f"a session is already recorded: {state.session.url}",
                hint="`clinder down` stops it; `clinder state forget` removes its record.",
            )
        if danger := exposure(session.url):
            context.on_event(Message(danger, warning=True))
        seen = observe_session(session, timeouts=config.timeouts, pause=context.interrupts.sleep)
        if seen.condition is Condition.GONE:
            raise NoSessionError(because(f"{session.url} is not running", seen.reason))
        if seen.condition is Condition.UNREACHABLE:
            raise UnreachableError(because(f"{session.url} cannot be adopted", seen.reason))
        if config.link:
            spec = config.spec()
            session = replace(session, hub=config.hubs[0], provider=spec.provider, repo=spec.repo, ref=spec.ref)
        transaction.write(session=session, retired=tuple(each for each in state.retired if each.url != session.url))
        return session


def release(config: Config, context: RunContext, session: Session) -> None:
    """Stop a session that `run` launched, and remove its record; do nothing if it is no longer recorded.

    Raises:
        ClinderError: the session could not be stopped; it stays recorded.
    """
    with StateTransaction.begin(config, context, "run") as transaction:
        executor = PlanExecutor(config, context, transaction)
        for recorded in transaction.state.sessions:
            if recorded.url == session.url:
                executor.stop(recorded)
