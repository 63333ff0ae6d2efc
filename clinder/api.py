"""The Python interface: launch a session, use it and stop it. `clinder start` and `clinder stop` do the same.

```python
with clinder.session("org/name", hub="https://mybinder.org") as session:
    print(session.url)
```
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from clinder.config.loading import load_config
from clinder.model.errors import InterruptedBySignalError
from clinder.model.events import Message, discard
from clinder.operations.context import RunContext
from clinder.operations.handover import hand_over
from clinder.operations.oneshot import start as start_session
from clinder.operations.oneshot import stop as stop_session
from clinder.operations.results import DownAction
from clinder.system.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from clinder.config.loading import Config
    from clinder.model.events import Listener
    from clinder.model.session import Session


def _configure(
    on_event: Listener, settings: Mapping[str, object] | None, file: Path | None = None, **given: str | None
) -> Config:
    named = {key: value for key, value in given.items() if value is not None}
    config = load_config(options={**(settings or {}), **named}, file=file)
    for warning in config.warnings:
        on_event(Message(warning, warning=True))
    return config


def launch(
    repo: str | None = None,
    *,
    hub: str | None = None,
    ref: str | None = None,
    settings: Mapping[str, object] | None = None,
    file: Path | None = None,
    build_token: str | None = None,
    on_event: Listener = discard,
) -> Session:
    """Launch a session. The caller is responsible for stopping it (see `stop`).

    Args:
        repo: the repository, in any form that `--repo` accepts.
        hub: the hub's URL, or `local`.
        ref: branch, tag or commit.
        settings: more settings by dotted key, such as `{"timeouts.build": "20m"}`, or a list of hubs as `hub`; the
            other arguments take precedence.
        file: a `clinder.toml` to read. `CLINDER_…` environment variables apply as well.
        build_token: the build token, if the hub requires one; defaults to `CLINDER_BUILD_TOKEN`.
        on_event: called with every event of the hub and every progress notice of clinder (`clinder.model.events`).

    Returns:
        The session. Its server answers, and its kernel starts, unless a warning said that this could not be checked.

    Raises:
        ConfigError: the settings are invalid.
        BuildError, LaunchError: the build or the launch failed.
        RefusedError, HubError, TimedOutError: the hub refused, cannot be used, or took too long.
        KeyboardInterrupt: Ctrl-C was pressed; a session that was being launched has been stopped.
    """
    config = _configure(on_event, settings, file, repo=repo, hub=hub, ref=ref)
    session = _launch(config, on_event, build_token)
    hand_over(session)
    return session


def _launch(config: Config, on_event: Listener, build_token: str | None) -> Session:
    with _context(on_event, build_token) as context:
        return start_session(config, context)


def stop(session: Session, *, settings: Mapping[str, object] | None = None, on_event: Listener = discard) -> bool:
    """Stop a session and wait until it is confirmed stopped.

    Returns:
        Whether this call stopped it; false if it was not running.

    Raises:
        TimedOutError: it was not confirmed stopped in time (`timeouts.stop`).
        UnreachableError: the request to stop could not be sent.
    """
    return _stop(session, _configure(on_event, settings), on_event)


def _stop(session: Session, config: Config, on_event: Listener) -> bool:
    with _context(on_event, None) as context:
        return stop_session(session, config, context).action is DownAction.STOPPED


@contextlib.contextmanager
def session(
    repo: str | None = None,
    *,
    hub: str | None = None,
    ref: str | None = None,
    settings: Mapping[str, object] | None = None,
    file: Path | None = None,
    build_token: str | None = None,
    on_event: Listener = discard,
) -> Iterator[Session]:
    """Launch a session for a `with` block, and stop it at the end of the block, even after an error.

    A session of the embedded hub also ends where this process is killed.

    The arguments and errors are those of `launch` and `stop`.
    """
    config = _configure(on_event, settings, file, repo=repo, hub=hub, ref=ref)
    launched = _launch(config, on_event, build_token)
    try:
        yield launched
    finally:
        _stop(launched, config, on_event)


@contextlib.contextmanager
def _context(on_event: Listener, build_token: str | None) -> Iterator[RunContext]:
    """Handle Ctrl-C during the operation, unless the caller has its own handler, so that no session is orphaned."""
    token = build_token or os.environ.get("CLINDER_BUILD_TOKEN") or None
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        with Interrupts((signal.SIGINT,) if is_ours else ()).installed() as interrupts:
            yield RunContext(on_event=on_event, interrupts=interrupts, build_token=token)
    except InterruptedBySignalError as error:
        raise KeyboardInterrupt(error.message) from error
