"""Which hub of the list is asked next, after which pause, and what the last error tells of them all.

A hub known to be limited or unwell is passed over. What is known is what a hub itself last said of its limit, and its
`/health`. That is asked for only where there is another hub to go to: a single one costs no request but the launch.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

from clinder.model.errors import ClinderError, InterruptedBySignalError
from clinder.model.events import Message
from clinder.model.wording import because

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clinder.config.settings import Retry
    from clinder.hubs import Hub
    from clinder.model.events import Listener, RateLimit
    from clinder.system.interrupts import Interrupts

_LONGEST_LOOK_S = 3.0


class HubList:
    """The hubs of the list, in turn.

    Args:
        urls: the hubs, as declared.
        open_hub: makes a hub for one of them.
        recall: says what a hub told of its limit when it was last asked, by whomever.
        look_s: how long a look at a hub's health may take, in seconds.
        on_event: hears which hub is passed over, and why.
        interrupts: asked while a hub is looked at.

    Attributes:
        passed_over: by hub, why it was not asked when it was its turn.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        open_hub: Callable[[str], Hub],
        recall: Callable[[str], RateLimit | None],
        look_s: float,
        on_event: Listener,
        interrupts: Interrupts,
    ) -> None:
        self._urls = tuple(dict.fromkeys(urls))
        self._open_hub = open_hub
        self._recall = recall
        self._look_s = min(look_s, _LONGEST_LOOK_S)
        self._report = on_event
        self._interrupts = interrupts
        self._turn = 0
        self._told: dict[str, RateLimit] = {}
        self._asked_to_wait_until: dict[str, float] = {}
        self.passed_over: dict[str, str] = {}

    def choose(self) -> Hub:
        """Choose the next hub: the first in turn that is not known to be limited or unwell, else the first.

        Raises:
            InterruptedBySignalError: a signal came meanwhile.
        """
        start = self._turn % len(self._urls)
        in_turn = self._urls[start:] + self._urls[:start]
        against: dict[str, str] = {}
        chosen: Hub | None = None
        for url in in_turn:
            try:
                hub = self._open_hub(url)
            except ClinderError as error:  # the embedded hub, where it is not installed
                if len(in_turn) == 1:
                    raise
                against[url] = error.message
                continue
            if len(in_turn) == 1 or not (reason := self._reason_against(url, hub)):
                chosen = hub
                break
            against[url] = reason
        is_unwell = chosen is None
        chosen = chosen or self._open_hub(in_turn[0])
        for url, reason in against.items():
            if url != chosen.url:
                self._pass_over(url, reason, is_told=not is_unwell)
        if is_unwell:
            self._report(
                Message(f"no hub of the list is better off, so {chosen.url} is asked though {against[chosen.url]}")
            )
        self._turn = self._urls.index(chosen.url) + 1
        return chosen

    def _pass_over(self, url: str, reason: str, *, is_told: bool) -> None:
        if is_told and self.passed_over.get(url) != reason:
            self._report(Message(because(f"{url} is passed over", reason)))
        self.passed_over[url] = reason

    def _reason_against(self, url: str, hub: Hub) -> str:
        if self._limited_s(url) is not None:
            return "it takes no more launches for now"
        return self._ask_health(hub)

    def _ask_health(self, hub: Hub) -> str:
        """Look at its health, in a thread, so that signals and the deadline are kept; who is slow counts as well."""
        found: list[str] = []

        def look() -> None:
            try:
                found.append(hub.health_problem())
            except ClinderError as error:
                found.append(error.message.replace(f"{hub.url} ", "it ", 1))

        thread = threading.Thread(target=look, name="clinder-health", daemon=True)
        thread.start()
        until = time.monotonic() + self._look_s
        while thread.is_alive() and time.monotonic() < until:
            self._interrupts.check()
            thread.join(0.02)
        return found[0] if found else ""

    def note(self, hub: Hub, error: ClinderError) -> None:
        """Remember what a hub said of its limit when a launch failed on it."""
        if hub.rate_limit:
            self._told[hub.url] = hub.rate_limit
        self._asked_to_wait_until.pop(hub.url, None)
        if error.retry_after_s is not None:
            self._asked_to_wait_until[hub.url] = time.time() + error.retry_after_s

    def _limited_s(self, url: str) -> float | None:
        """Say for how many seconds the hub takes no launches, where that is known.

        A hub names the whole window when it refuses (measured), but before that when the window ends: the earlier of
        the two is true.
        """
        left = self._told.get(url) or self._recall(url)
        times = [float(left.reset_at)] if left and not left.remaining else []
        times += [self._asked_to_wait_until[url]] if url in self._asked_to_wait_until else []
        still = [seconds for until in times if (seconds := until - time.time()) > 0]
        return min(still, default=None)

    def pause_s(self, url: str, tries: int, retry: Retry) -> float:
        """Say how long to wait before this hub is asked, after so many tries: what it asked for, else ever longer."""
        named = self._limited_s(url)
        jitter = random.uniform(0.75, 1.25)  # noqa: S311
        pause_s = named if named is not None else retry.backoff.total_seconds() * 2 ** (tries - 1) * jitter
        return min(pause_s, retry.wait.total_seconds())


def combine(failures: list[tuple[str, ClinderError]], passed_over: Mapping[str, str], limit: str = "") -> None:
    """Let the last error tell of those before it, of the hubs that were not asked, and of what may be left."""
    last = failures[-1][1]
    left: dict[str, int] = {}
    for hub, error in failures:
        left[hub] = left.get(hub, 0) + error.orphaned_sessions
    last.orphaned_sessions = sum(left.values())
    if last.orphaned_sessions:
        last.hint = f"{last.hint.replace(describe_orphans(left), '')} {describe_orphans(left)}".strip()
    if isinstance(last, InterruptedBySignalError):
        return
    lines = [last.message]
    if len(failures) > 1:
        said = [error.message if hub in error.message else f"{hub}: {error.message}" for hub, error in failures]
        lines = [f"no session after {len(failures)} tries:", *(f"  {n}. {text}" for n, text in enumerate(said, 1))]
    asked = {hub for hub, _ in failures}
    lines += [because(f"  {hub} was passed over", reason) for hub, reason in passed_over.items() if hub not in asked]
    last.message = "\n".join([*lines, *([f"  {limit}"] if limit else [])])


def describe_orphans(hubs: Mapping[str, int]) -> str:
    """Say how many sessions may be left on which hubs."""
    names = ", ".join(hub for hub, count in hubs.items() if count)
    if (count := sum(hubs.values())) == 1:
        return f"A session may be left on {names}. The hub launches it all the same, and stops it when it is idle."
    return f"{count} sessions may be left on {names}. Hubs launch them all the same, and stop them when they are idle."
