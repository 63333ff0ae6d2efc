"""The embedded hub as one hub among others: it works in the thread in which other hubs are listened to."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from clinder.config.settings import LOCAL_HUB
from clinder.hubs.event_stream import EventStream
from clinder.localhub.hub import LocalHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clinder.localhub.hub import Steps
    from clinder.model.events import Event
    from clinder.model.repository import RepositorySpec


_CLOSING_S = 10.0
"""How long it may take to end a server that was being started."""


class EmbeddedHub:
    """The embedded hub, launching on this machine."""

    url = LOCAL_HUB
    rate_limit = None
    continues_after_disconnect = False

    def __init__(self, cache_dir: Path | None = None) -> None:
        self._hub = LocalHub(cache_dir)

    def launch(self, spec: RepositorySpec) -> EventStream:
        """Build and start, and hear of it; nothing is done before the stream is entered."""
        events = self._hub.events(spec)
        return EventStream(
            lambda _stream: _one_by_one(events), close=self._hub.close, closing_s=_CLOSING_S, in_process=True
        )

    def vet(self, url: str) -> str:
        """Accept any URL: this process started the session's server itself."""
        return ""

    def health_problem(self) -> str:
        """See that something can be kept in the cache folder.

        Raises:
            HubError: it cannot.
        """
        self._hub.check()
        return ""


def _one_by_one(events: Steps[None]) -> Iterator[list[Event]]:
    with closing(events):
        for event in events:
            yield [event]
