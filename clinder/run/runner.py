"""`run`: a command under a session. Brings the session up, watches it while the command runs, and stops it after."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinder.model.duration import format_duration
from clinder.model.errors import ClinderError, LostSessionError
from clinder.model.events import Message
from clinder.model.wording import because
from clinder.operations.inspect import UpOptions
from clinder.operations.lifecycle import release, up
from clinder.operations.results import UpAction
from clinder.run.child import Child, find_command
from clinder.run.environment import session_environment
from clinder.run.watch import Watch
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from clinder.config.loading import Config
    from clinder.model.session import Session
    from clinder.operations.context import RunContext
    from clinder.run.watch import Loss

_LIMITS = (
    "Hubs end sessions that are idle, that last too long or take too much memory: mybinder.org after 10 minutes "
    "without activity, and after 6 hours at most. Or another clinder stopped it: one that uses this state folder."
)


@dataclass(frozen=True)
class RunOptions:
    """How a command is run.

    Attributes:
        command: the program and its arguments.
        replace: launch a new session even if one is running as declared.
        keep: leave the session running at the end, even if this run launched it.
        keeps_alive: keep the session from idling while the command runs.
        retries: how often to launch again and run the command again when its session was lost.
    """

    command: Sequence[str]
    replace: bool = False
    keep: bool = False
    keeps_alive: bool = True
    retries: int = 0


@dataclass(frozen=True)
class _Ended:
    """How a command ended: with which status, whether somebody wished so, and how its session was lost, if it was."""

    status: int
    is_signalled: bool
    loss: Loss | None


def run(config: Config, options: RunOptions, *, context: Callable[[], AbstractContextManager[RunContext]]) -> int:
    """Run a command under a session.

    Args:
        config: what is declared.
        options: the command, and how it is run.
        context: makes those of bringing up and of stopping; while the command runs, the terminal is its own.

    Returns:
        The command's exit status.

    Raises:
        LostSessionError: the session was lost while the command ran, more often than `retries` or after a signal.
        ClinderError: the session did not come up, the command could not be started, or the session not be stopped.
    """
    find_command(options.command[0])
    with Interrupts().installed() as between:
        for tries_left in range(options.retries, -1, -1):
            with _noting(context, between) as current:
                result = up(config, current, UpOptions(replace=options.replace))
            is_ours = result.action is not UpAction.KEPT and not options.keep
            try:
                between.check()
                ended = _run_once(config, options, result.session, between)
            except BaseException:
                if is_ours:
                    _release(config, result.session, _noting(context, between))
                raise
            if is_ours or ended.loss:
                _release(config, result.session, _noting(context, between))
            if ended.loss is None:
                return ended.status
            lost = _describe(ended.loss, result.session)
            if tries_left == 0 or ended.is_signalled:
                raise LostSessionError(lost, hint=_LIMITS)
            between.check()
            with _noting(context, between) as current:
                current.on_event(Message(f"{lost}; launching again", warning=True))
    raise AssertionError("the last try returns or raises")


@contextmanager
def _noting(context: Callable[[], AbstractContextManager[RunContext]], between: Interrupts) -> Iterator[RunContext]:
    """Make circumstances, and note afterwards a signal that came meanwhile: it is for all that follows, too."""
    with context() as current:
        try:
            yield current
        finally:
            between.requested = between.requested or current.interrupts.requested


def _run_once(config: Config, options: RunOptions, session: Session, between: Interrupts) -> _Ended:
    watch = Watch(session, timeouts=config.timeouts, keeps_alive=options.keeps_alive)
    with Child(options.command, env=session_environment(session)) as child, watch:
        status = child.wait(is_over=lambda: watch.loss is not None, signalled=lambda: between.requested)
    if status != 0 and watch.loss is None and not child.is_signalled:
        watch.look()  # it may have failed because its session went, just now
    return _Ended(status, child.is_signalled, watch.loss)


def _release(config: Config, session: Session, context: AbstractContextManager[RunContext]) -> None:
    """Stop the session; where that fails the command's own status counts all the same, and the state remembers."""
    with context as current:
        try:
            release(config, current, session)
        except ClinderError as error:
            text = f"{because(f'{session.url} is not confirmed stopped', error.message)}; `clinder down` tries again"
            current.on_event(Message(text, warning=True))


def _describe(loss: Loss, session: Session) -> str:
    age = f" after {format_duration(round((loss.at - session.ready_at).total_seconds()))}" if session.ready_at else ""
    return because(f"the session was lost{age}, at {loss.at.astimezone():%H:%M:%S}", loss.reason)
