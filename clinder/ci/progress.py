"""Progress in the log of a GitHub Actions job: one group for each phase, in which no line can be a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clinder.ci.commands import annotate, escape_data, mask, stopped, write
from clinder.events import Attempt, CaughtUp, Event, Phase, Told
from clinder.output.clean import clean, is_passing
from clinder.output.plain import describe
from clinder.sessions import check_token

if TYPE_CHECKING:
    from clinder.events import Notice

_MOST_BUFFERED = 512


class ActionsProgress:
    """A listener that prints a hub's words in groups, and clinder's own between them.

    A token is masked as soon as it is heard of, before anything else is printed.
    """

    def __init__(self) -> None:
        self._phase = Phase.WAITING.value
        self._group = ""
        self._lines: list[str] = []
        self._layers: tuple[int, int] = (0, 0)

    def __call__(self, item: Event | Notice) -> None:
        """Print an item."""
        if isinstance(item, Event):
            self._event(item)
        elif isinstance(item, CaughtUp):
            self._flush()
        else:
            self._notice(item)

    def _event(self, event: Event) -> None:
        phase = event.phase
        if phase is Phase.READY:
            self._mask(event.details.get("token"))
        if phase and phase is not Phase.UNKNOWN and phase.value != self._phase:
            self._flush()
            self._phase = phase.value
        if event.progress:
            self._pushed(event)
        elif event.message and not is_passing(event.message) and (text := clean(event.message).rstrip("\n")):
            self._lines.append(text)
        if len(self._lines) >= _MOST_BUFFERED:
            self._flush()

    def _mask(self, token: object) -> None:
        try:
            secret = check_token(token)
        except ValueError:  # no session will come of it
            return
        mask(secret)

    def _pushed(self, event: Event) -> None:
        done = sum(layer.current >= layer.total for layer in event.progress.values())
        if (done, len(event.progress)) != self._layers:
            self._layers = (done, len(event.progress))
            self._lines.append(f"{done} of {len(event.progress)} layers pushed")

    def _notice(self, item: Notice) -> None:
        if isinstance(item, Told) and item.warning:
            self.close()
            annotate("warning", "clinder", item.text)
        elif (line := describe(item, verbose=False)) is not None:
            self.close()
            write(f"{clean(line)}\n")
        if isinstance(item, Attempt):
            self._phase = Phase.WAITING.value

    def _flush(self) -> None:
        """Write the lines that wait into the group of their phase."""
        if not self._lines:
            return
        text = stopped("\n".join(self._lines))
        self._lines.clear()
        if self._group != self._phase:
            text = f"{'::endgroup::' + chr(10) if self._group else ''}::group::{escape_data(self._phase)}\n{text}"
            self._group = self._phase
        write(text)

    def close(self) -> None:
        """Write what still waits, and end the group."""
        self._flush()
        if self._group:
            self._group = ""
            write("::endgroup::\n")
