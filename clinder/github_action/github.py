"""The GitHub Action: `up` brings up the session for the following steps, `down` stops it at the end of the job.

It is started by `action/start.py` with the folder for the state of this step; inputs and event are in the environment.
`docs/how-to/github-actions.md` describes its use.
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
from clinder.github_action.commands import (
    add_summary,
    annotate,
    mask,
    print_message,
    set_outputs,
    set_variables,
    stopped,
    write,
)
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
    "build-failed": "The step's log shows the failure in the group of the last phase; the summary of the run contains "
    "the end of that log and a link to launch the same repository by hand.",
    "timed-out": "The timeouts are set with the inputs timeouts-…, or under [timeouts] in clinder.toml.",
    "refused": "Check the inputs repo and build-token, and which repositories the hub allows.",
}


@dataclass(frozen=True)
class Step:
    """One step of a job that uses the action.

    Attributes:
        folder: the folder for everything that `down` needs.
    """

    folder: Path

    @property
    def state_dir(self) -> Path:
        """The path of the state folder."""
        return self.folder / "state"

    @property
    def state(self) -> StateFolder:
        """The state folder, which contains the record of the session and the logs of launches."""
        return StateFolder(self.state_dir, is_named=True)


def main(arguments: Sequence[str]) -> int:
    """Run a step of the action, and return its exit status.

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
        print_message(f"cancelled: {error.message}. {error.hint}".strip())
        return error.exit_status
    except ClinderError as error:
        if error.session:
            mask(error.session.token)
        _annotate("error", f"clinder: {error.kind.replace('-', ' ')}", error)
        return error.exit_status
    except Exception as error:  # the last resort: users of the action look at annotations
        return _internal(error)


def _annotate(level: str, title: str, error: ClinderError) -> None:
    hints = [hint for hint in (error.hint, _HINTS.get(error.kind, "")) if hint]
    annotate(level, title, "\n".join([error.message, *hints]))


def _internal(error: Exception) -> int:
    write(stopped("".join(traceback.format_exception(error))))
    message = f"internal error: {type(error).__name__}: {error}"
    annotate("error", "clinder", f"{message}\nPlease report it with the log of this step: {HOME_PAGE}/issues")
    return ClinderError.exit_status


def _up(step: Step, runner_pid: str) -> int:
    interrupts = Interrupts()
    _interrupt_at_end_of_stdin(interrupts)
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
    suffix = ", and is kept active" if inputs.keeps_alive else ""
    print_message(f"the session is up{suffix}: {session.url}")
    return 0


def _interrupt_at_end_of_stdin(interrupts: Interrupts) -> None:
    """Interrupt when stdin ends: it does when the job is cancelled or the process of the step is killed."""

    def wait_for_end() -> None:
        while os.read(0, 1024):
            pass
        if interrupts.requested is None:
            interrupts.requested_at = time.monotonic()
            interrupts.requested = signal.SIGINT

    threading.Thread(target=wait_for_end, name="clinder-step", daemon=True).start()


def _launch(step: Step, inputs: Inputs, interrupts: Interrupts) -> Session:
    """Bring up the session; write the log of the step, the launch log and the summary."""
    display, log = ActionsProgress(), LaunchLog(step.state.logs)

    def on_event(item: Event | Progress) -> None:
        display(item)
        log(item)

    session, failure, why = None, None, ""
    try:
        config, source = configure(inputs, step.state_dir)
        why = _print_selection(config, source)
        session = up(config, RunContext(on_event, interrupts, build_token=inputs.build_token)).session
    except ClinderError as error:
        failure = error
        raise
    finally:
        display.close()
        log.close(outcome="succeeded" if session else failure.kind if failure else "failed")
        if inputs.has_summary and (session or failure):
            _summarize(step, why, session, failure)
    return session


def _summarize(step: Step, why: str, session: Session | None, failure: ClinderError | None) -> None:
    """Write the summary; a failure to do so is a warning."""
    try:
        launch = next(iter(past_launches(step.state.logs)), None)
        add_summary(summarize(Report(why, launch, session, failure)))
    except (OSError, StateError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else error.message
        annotate("warning", "clinder", because("the summary of the run cannot be written", reason))


def _print_selection(config: Config, source: Source | None) -> str:
    """Print the repository and ref to launch, and return why they were selected."""
    if source is None:
        why = f"{config.describe('repo')}, {config.describe('ref') if config.settings.ref else 'no ref: HEAD'}"
    elif config.sources["ref"] == "the event":
        why = f"{source}"
    else:
        why = f"{source.repo}, {source.why}; {config.describe('ref')}"
    print_message(f"{config.spec()}: {why}")
    limits = config.timeouts
    print_message(
        f"timeouts: {format_duration(limits.build)} for the build, then {format_duration(limits.launch)} for the launch"
    )
    if source and source.is_private:
        annotate(
            "warning",
            "clinder: a private repository",
            f"{source.repo} is private: a hub can only clone it if its operators gave it access.",
        )
    for warning in config.warnings:
        annotate("warning", "clinder", warning)
    return why


def _down(step: Step) -> int:
    """Stop the session; a failure is a warning, since the job has done its work.

    The folder with the session's token is removed in any case, unless a launch in progress still needs it.
    """
    is_needed = False
    display = ActionsProgress()
    try:
        if reason := Keeping(step.folder).end():
            print_message(because("keeping the session active ended", reason))
        config = configure_to_stop(step.state_dir)
        for warning in config.warnings:
            print_message(f"warning: {warning}")
        # A cancelled launch is followed to its end, so that its server can be stopped: wait for that.
        patience_s = 2 * config.timeouts.stop.total_seconds() + _MORE_PATIENCE_S
        result = down(config, RunContext(display, lock_timeout_s=patience_s))
        print_message(f"{result.action.value}{f': {result.session.url}' if result.session else ''}")
    except ClinderError as error:
        _annotate("warning", "clinder: the session may be left running", error)
        is_needed = isinstance(error, LockedError)
    finally:
        display.close()
        if is_needed:
            print_message(f"{step.folder} is not removed: a launch in progress needs it")
        else:
            _remove(step.folder)
    return 0


def _remove(folder: Path) -> None:
    """Remove the folder with the session's token; show a warning if that fails."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"{show_path(folder)}, which contains the session's token, cannot be removed: {error.strerror}"
        annotate("warning", "clinder: the token was not removed", message)


def _keep_alive(step: Step, runner_pid: int) -> int:
    inputs = read_inputs()
    session = recorded_session(step.state)
    timeouts = configure_to_stop(step.state_dir).timeouts
    Keeping(step.folder).keep(session, timeouts=timeouts, limit=inputs.keep_alive_for, runner_pid=runner_pid)
    return 0
