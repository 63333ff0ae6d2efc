"""Hubs: what a launch needs of one, whatever its kind, and how the one that is declared is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clinder.config.settings import LOCAL_HUB

if TYPE_CHECKING:
    from clinder.config.settings import Timeouts
    from clinder.hubs.event_stream import EventStream
    from clinder.model.events import RateLimit
    from clinder.model.repository import RepositorySpec


class Hub(Protocol):
    """What a launch needs of a hub."""

    @property
    def url(self) -> str:
        """The hub, as declared."""

    @property
    def continues_after_disconnect(self) -> bool:
        """Whether a launch goes on when nobody listens any more, and leaves a session that nobody has the token of."""

    @property
    def rate_limit(self) -> RateLimit | None:
        """How many launches it still allows, where it has told."""

    def launch(self, spec: RepositorySpec) -> EventStream:
        """Ask for a launch and hear of it."""

    def vet(self, url: str) -> str:
        """Check that the hub may send clinder to a session's URL.

        Returns:
            A sentence worth telling the user; empty if there is nothing to tell.

        Raises:
            LaunchError: it may not.
        """

    def health_problem(self) -> str:
        """Say in a few words why a launch would fail now, where it is known; else nothing.

        Raises:
            UnreachableError: the hub does not answer at all.
        """


def open_hub(url: str, timeouts: Timeouts, *, build_token: str | None = None) -> Hub:
    """Make the hub for a declared URL; `local` is the embedded one.

    Raises:
        HubError: the embedded hub cannot be used here.
    """
    if url == LOCAL_HUB:
        from clinder.hubs.embedded import EmbeddedHub  # needs the extra `local`

        return EmbeddedHub()
    from clinder.hubs.binderhub import BinderHub  # imports requests

    connect_s, silence_s = timeouts.connect.total_seconds(), timeouts.silence.total_seconds()
    return BinderHub(url, connect_s=connect_s, silence_s=silence_s, build_token=build_token)
