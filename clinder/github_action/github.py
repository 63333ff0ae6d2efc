"""The GitHub Action: `up` brings the session up for the steps that follow, `down` stops it when the job is over.

Started by `action/start.py` with the folder in which this step keeps its state; inputs and event are in the
environment. `docs/how-to/github-actions.md` tells how it is used.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinder import HOME_PAGE
from clinder.github_action.commands import add_summary, annotate, mask, say, set_outputs, set_variables, stopped, write
from clinder.github_action.inputs import Inputs, configure, configure_to_stop, read_inputs
from clinder.github_action.keeping import Keeping
from clinder.github_action.progress import ActionsProgress
from clinder.github_action.summary import Report, summarize
from clinder.model.display import show_path
from clinder.model.duration import format_duration
from clinder.model.errors import ClinderError, InterruptedBySignalError, LockedError, StateError
from clinder.model.wording import because, os_reason
from clinder.operations.context import RunContext
from clinder.operations.lifecycle import down, up
from clinder.output.launches import past_launches
from clinder.output.log import LaunchLog
from clinder.run.environment import BASE_URL_VARIABLE, recorded_session, session_variables
from clinder.state import StateFolder
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinder.config.loading import Config
    from clinder.github_action.event import Source
    from clinder.model.events import Event, Progress
    from clinder.model.session import Session

_MORE_PATIENCE_S = 30.0
_HINTS = {
    "build-failed": "The log of the step, in the group of its last phase, says what failed; the summary of the run has "
    "the end of it, and a link to try the same by hand.",
    "timed-out": "The inputs timeouts-…, or [timeouts] in clinder.toml, say how long to wait.",
    "refused": "Look at the inputs repo and build-token, and at what the hub allows.",
}


@dataclass(frozen=True)
class Step:
    """One use of the action in a job.

    Attributes:
        folder: where it keeps what `down` has to know.
    """

    folder: Path

    @property
    def state_dir(self) -> Path:
        """Where the session is recorded."""
        return self.folder / "state"

    @property
    def state(self) -> StateFolder:
        """The folder in which the session is recorded, and the logs of launches are kept."""
        return StateFolder(self.state_dir, is_named=True)


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say, and return the exit status of the step.

    Args:
        arguments: `up FOLDER RUNNER_PID`, `down FOLDER`, or `keep-alive FOLDER RUNNER_PID`.
    """
    verb, step = arguments[0], Step(Path(arguments[1]))
    try:
        if verb == "up":
            return _up(step, arguments[2])
        if verb == "keep-alive":
            return _keep_alive(step, int(arguments[2]))
        return _down(step)
    except InterruptedBySignalError as error:
        say(f"cancelled: {error.message}. {error.hint}".strip())
        return error.exit_status
    except ClinderError as error:
        if error.session:
            mask(error.session.token)
        _annotate("error", f"clinder: {error.kind.replace('-', ' ')}", error)
        return error.exit_status
    except Exception as error:  # the last resort: an annotation is what a user of the action looks at
        return _internal(error)


def _annotate(level: str, title: str, error: ClinderError) -> None:
    hints = [hint for hint in (error.hint, _HINTS.get(error.kind, "")) if hint]
    annotate(level, title, "\n".join([error.message, *hints]))


def _internal(error: Exception) -> int:
    write(stopped("".join(traceback.format_exception(error))))
    said = f"a fault of clinder itself: {type(error).__name__}: {error}"
    annotate("error", "clinder", f"{said}\nPlease report it with the log of this step: {HOME_PAGE}/issues")
    return ClinderError.exit_status


def _up(step: Step, runner_pid: str) -> int:
    interrupts = Interrupts()
    _leave_with_the_step(interrupts)
    inputs = read_inputs()
    began = time.monotonic()
    session = _launch(step, inputs, interrupts)
    variables = session_variables(session)
    mask(session.token)
    set_variables(variables)
    outputs = {
        "url": variables[BASE_URL_VARIABLE],
        "token": session.token,
        "resolved-ref": session.resolved_ref,
        "image": session.image,
        "launch-seconds": f"{time.monotonic() - began:.1f}",
    }
    set_outputs(outputs)
    if inputs.keeps_alive:
        Keeping(step.folder).begin(["keep-alive", str(step.folder), runner_pid])
    kept = ", and is kept from idling" if inputs.keeps_alive else ""
    say(f"the session is up{kept}: {session.url}")
    return 0


def _leave_with_the_step(interrupts: Interrupts) -> None:
    """Take the end of the input for a wish to leave: it ends when the job is cancelled or the step's process killed."""

    def listen() -> None:
        while os.read(0, 1024):
            pass
        if interrupts.requested is None:
            interrupts.requested_at = time.monotonic()
            interrupts.requested = signal.SIGINT

    threading.Thread(target=listen, name="clinder-step", daemon=True).start()


def _launch(step: Step, inputs: Inputs, interrupts: Interrupts) -> Session:
    """Bring the session up; the log of the step, the kept log and the summary tell of it."""
    shown, log = ActionsProgress(), LaunchLog(step.state.logs)

    def on_event(item: Event | Progress) -> None:
        shown(item)
        log(item)

    session, failure, why = None, None, ""
    try:
        config, source = configure(inputs, step.state_dir)
        why = _say_what_was_chosen(config, source)
        session = up(config, RunContext(on_event, interrupts, build_token=inputs.build_token)).session
    except ClinderError as error:
        failure = error
        raise
    finally:
        shown.close()
        log.close(outcome="succeeded" if session else failure.kind if failure else "failed")
        if inputs.has_summary and (session or failure):
            _summarize(step, why, session, failure)
    return session


def _summarize(step: Step, why: str, session: Session | None, failure: ClinderError | None) -> None:
    """Write the summary; where that cannot be, the step is as good or bad as without it."""
    try:
        launch = next(iter(past_launches(step.state.logs)), None)
        add_summary(summarize(Report(why, launch, session, failure)))
    except (OSError, StateError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else error.message
        annotate("warning", "clinder", because("the summary of the run cannot be written", reason))


def _say_what_was_chosen(config: Config, source: Source | None) -> str:
    """Say which repository and ref are launched, and why just those."""
    if source is None:
        why = f"{config.describe('repo')}, {config.describe('ref') if config.settings.ref else 'no ref: HEAD'}"
    elif config.sources["ref"] == "the event":
        why = f"{source}"
    else:
        why = f"{source.repo}, {source.why}; {config.describe('ref')}"
    say(f"{config.spec()}: {why}")
    limits = config.timeouts
    say(f"at most {format_duration(limits.build)} until the image is there, then {format_duration(limits.launch)}")
    if source and source.is_private:
        annotate(
            "warning",
            "clinder: a private repository",
            f"{source.repo} is private: a hub can clone it only if those who run it gave it the right to.",
        )
    for warning in config.warnings:
        annotate("warning", "clinder", warning)
    return why


def _down(step: Step) -> int:
    """Stop the session and say what was done; what goes wrong here is a warning, for the job has done its work.

    The folder with the session's token is removed however that ends, unless a launch under way still needs it.
    """
    is_needed = False
    shown = ActionsProgress()
    try:
        if reason := Keeping(step.folder).end():
            say(because("keeping the session from idling ended", reason))
        config = configure_to_stop(step.state_dir)
        for warning in config.warnings:
            say(f"warning: {warning}")
        # A launch that was cancelled is heard out, so that its server can be stopped: wait for that.
        patience_s = 2 * config.timeouts.stop.total_seconds() + _MORE_PATIENCE_S
        result = down(config, RunContext(shown, lock_timeout_s=patience_s))
        say(f"{result.action.value}{f': {result.session.url}' if result.session else ''}")
    except ClinderError as error:
        _annotate("warning", "clinder: the session may be left running", error)
        is_needed = isinstance(error, LockedError)
    finally:
        shown.close()
        if is_needed:
            say(f"{step.folder}, where its token will be, is kept for the launch that is under way")
        else:
            _remove(step.folder)
    return 0


def _remove(folder: Path) -> None:
    """Remove the folder with the session's token, or say why not."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"{show_path(folder)}, in which the session's token is, cannot be removed: {error.strerror}"
        annotate("warning", "clinder: a token is left behind", message)


def _keep_alive(step: Step, runner_pid: int) -> int:
    inputs = read_inputs()
    session = recorded_session(step.state)
    timeouts = configure_to_stop(step.state_dir).timeouts
    Keeping(step.folder).keep(session, timeouts=timeouts, limit=inputs.keep_alive_for, runner_pid=runner_pid)
    return 0
