"""Run a command with a session: bring the session up, watch it while the command runs, and stop it afterwards."""

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
    "Hubs stop sessions that are idle, run too long or use too much memory: mybinder.org after 10 minutes without "
    "activity, and after 6 hours at most. Another clinder process that uses this state folder may also have stopped it."
)


@dataclass(frozen=True)
class RunOptions:
    """The options of `run`.

    Attributes:
        command: the program and its arguments.
        replace: launch a new session even if one is running as declared.
        keep: leave the session running afterwards, even if this run launched it.
        keeps_alive: keep the session active while the command runs.
        retries: how often to launch and run the command again if the session is lost.
    """

    command: Sequence[str]
    replace: bool = False
    keep: bool = False
    keeps_alive: bool = True
    retries: int = 0


@dataclass(frozen=True)
class _Ended:
    """The end of a command: its exit status, whether it was sent a signal, and the loss of its session, if any."""

    status: int
    is_signalled: bool
    loss: Loss | None


def run(config: Config, options: RunOptions, *, context: Callable[[], AbstractContextManager[RunContext]]) -> int:
    """Run a command with a session.

    Args:
        config: the declared settings.
        options: the command and how to run it.
        context: makes a context for launching and another for stopping; the command has the terminal in between.

    Returns:
        The command's exit status.

    Raises:
        LostSessionError: the session was lost while the command ran, more often than `retries` or after a signal.
        ClinderError: the session could not be launched, or the command could not be started.
    """
    find_command(options.command[0])
    with Interrupts().installed() as between:
        for retries_left in range(options.retries, -1, -1):
            with _remembering_signals(context, between) as current:
                result = up(config, current, UpOptions(replace=options.replace))
            is_ours = result.action is not UpAction.KEPT and not options.keep
            try:
                between.check()
                ended = _run_once(config, options, result.session, between)
            except BaseException:
                if is_ours:
                    _release(config, result.session, _remembering_signals(context, between))
                raise
            if is_ours or ended.loss:
                _release(config, result.session, _remembering_signals(context, between))
            if ended.loss is None:
                return ended.status
            lost = _describe(ended.loss, result.session)
            if retries_left == 0 or ended.is_signalled:
                raise LostSessionError(lost, hint=_LIMITS)
            between.check()
            with _remembering_signals(context, between) as current:
                current.on_event(Message(f"{lost}; launching again", warning=True))
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def _remembering_signals(
    context: Callable[[], AbstractContextManager[RunContext]], between: Interrupts
) -> Iterator[RunContext]:
    """Make a context, and remember a signal that was received in it: it also applies to what follows."""
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
        watch.check()  # it may have failed because its session has just gone
    return _Ended(status, child.is_signalled, watch.loss)


def _release(config: Config, session: Session, context: AbstractContextManager[RunContext]) -> None:
    """Stop the session; a failure is a warning, since the command's status counts and the session stays recorded."""
    with context as current:
        try:
            release(config, current, session)
        except ClinderError as error:
            text = because(f"{session.url} is not confirmed stopped", error.message)
            text = f"{text}; run `clinder down` to try again"
            current.on_event(Message(text, warning=True))


def _describe(loss: Loss, session: Session) -> str:
    age = f" after {format_duration(round((loss.at - session.ready_at).total_seconds()))}" if session.ready_at else ""
    return because(f"the session was lost{age}, at {loss.at.astimezone():%H:%M:%S}", loss.reason)
