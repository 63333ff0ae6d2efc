"""A session's Jupyter Server over its REST API: is it there, does a kernel start, shut it down.

What a dead session answers depends on the proxy before it, and was measured: a redirect, 404, 424 or a 403 page of
HTML mean that it is gone; 503, silence and refused connections say nothing. Redirects are never followed, and the
token travels in a header alone.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clinder.model.errors import ClinderError, LaunchError, RefusedError, TimedOutError, UnreachableError
from clinder.model.observation import Cause, Condition, Observation
from clinder.model.wording import because
from clinder.net.http import ask, new_client
from clinder.net.loopback import leads_to_loopback

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from types import TracebackType

    import requests

    from clinder.model.session import Session

_POLL_S = 0.25
_MOST_COUNT = 10**9
_MOST_OF_A_MOMENT = 64
_UNAVAILABLE_MEANS_GONE_S = 60.0
"""For how long after our own shutdown a proxy may answer 503 before that means gone (measured)."""


class JupyterServer:
    """The server of a session; a context manager that holds its connection.

    Args:
        session: whose URL and token are used.
        connect: how long each request may take to its first byte.
    """

    def __init__(self, session: Session, *, connect: timedelta) -> None:
        self._url = session.url
        self._who = "the server"
        self._is_local = leads_to_loopback(session.url)
        self._timeout_s = connect.total_seconds()
        self._token = session.token
        self._client = new_client()
        self._client.headers["Authorization"] = f"token {session.token}"

    def __enter__(self) -> JupyterServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def _request(
        self,
        method: str,
        path: str,
        *,
        pause: Callable[[float], None] = time.sleep,
        timeout_s: float | None = None,
        **more: Any,
    ) -> tuple[requests.Response, Any]:
        """Send a request and read its answer as JSON, or `None` where it is none.

        Raises:
            UnreachableError: no answer came.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        url = self._url + path
        return ask(
            self._client, method, url, who=self._who, timeout_s=timeout_s, pause=pause, allow_redirects=False, **more
        )

    def observe(self, *, pause: Callable[[float], None] = time.sleep) -> Observation:
        """Look at the session, once. Does not count as activity of the server (measured).

        Args:
            pause: called meanwhile; raises to leave.
        """
        now = datetime.now(UTC)
        try:
            response, status = self._request("GET", "api/status", pause=pause)
        except UnreachableError as error:
            return Observation(Condition.UNREACHABLE, error.message, now, cause=_cause(error))
        code = response.status_code
        if code == 200 and isinstance(status, dict):  # noqa: PLR2004
            return Observation(
                Condition.RUNNING,
                None,
                now,
                last_activity=_moment(status.get("last_activity")),
                kernels=_count(status.get("kernels")),
                connections=_count(status.get("connections")),
            )
        if code == 403 and isinstance(status, dict):  # noqa: PLR2004
            reason = "the server answers, but refuses the token"
            return Observation(Condition.UNREACHABLE, reason, now, cause=Cause.TOKEN_REFUSED)
        if code in (302, 404, 424) or code == 403:  # noqa: PLR2004
            return Observation(Condition.GONE, f"the hub has no such server any more (HTTP {code})", now)
        cause = Cause.UNAVAILABLE if code == 503 else Cause.OTHER_ANSWER  # noqa: PLR2004
        return Observation(Condition.UNREACHABLE, f"HTTP {code} in place of the server", now, cause=cause)

    def report_activity(self) -> None:
        """Give a sign of activity, so that the hub does not take the server for idle.

        Raises:
            UnreachableError: no answer came.
        """
        self._request("GET", "api/kernels")

    def await_answer(self, *, deadline: float, pause: Callable[[float], None]) -> None:
        """Wait until the server answers with its token; right after `ready` a proxy may say 503 for a moment.

        Args:
            deadline: on the monotonic clock.
            pause: sleeps so many seconds, or raises to leave.

        Raises:
            LaunchError: the server is gone, refuses its token, or did not answer in time.
        """
        while (seen := self.observe(pause=pause)).condition is not Condition.RUNNING:
            if seen.is_final or time.monotonic() >= deadline:
                raise LaunchError(because("the hub said ready, but the session cannot be used", seen.reason))
            pause(_POLL_S)

    def warm(self, kernel: str, *, deadline: float, pause: Callable[[float], None]) -> str:
        """Start a kernel, wait until it answers, and stop it again.

        Args:
            kernel: the name of a kernel, or `auto` for the server's default.
            deadline: on the monotonic clock.
            pause: sleeps so many seconds, or raises to leave.

        Returns:
            Why it is not known whether the kernel works; empty where it does. The server answers all the same.

        Raises:
            LaunchError: there is no such kernel, it cannot be started, it died, or the server answers no more.
        """
        from clinder.net.kernel_check import KernelCheck  # brings the WebSocket library

        check = KernelCheck(
            kernel,
            url=self._url,
            token=self._token,
            request=self._request,
            connect_s=self._timeout_s,
            deadline=deadline,
            pause=pause,
        )
        if doubt := check.run():
            self.await_answer(deadline=max(deadline, time.monotonic() + self._timeout_s), pause=pause)
        return doubt

    def shut_down(
        self,
        *,
        timeout: timedelta,
        pause: Callable[[float], None],
        is_gone: Callable[[], bool],
        waits: bool = True,
    ) -> bool:
        """Ask the server to end and wait until it is seen to be gone.

        Args:
            timeout: how long to wait for that.
            pause: sleeps so many seconds, or raises to leave.
            is_gone: asks somebody who may know better: the embedded hub its processes.
            waits: false: give up at once where it cannot even be asked.

        Returns:
            False where it was gone already.

        Raises:
            TimedOutError: it was asked, and was still not seen to be gone in time.
            RefusedError: it refuses the token.
            UnreachableError: it could not even be asked.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        was_asked = False
        unavailable_since: float | None = None
        while True:
            if is_gone():
                return was_asked
            seen = self.observe(pause=pause)
            now = time.monotonic()
            unavailable_since = (unavailable_since or now) if seen.cause is Cause.UNAVAILABLE else None
            if seen.condition is Condition.GONE:
                return was_asked
            if seen.condition is Condition.RUNNING:
                was_asked = self._ask_to_end(pause) or was_asked
            elif was_asked and self._counts_as_gone(seen, now - unavailable_since if unavailable_since else 0.0):
                return True
            elif not was_asked and seen.cause in (Cause.UNAVAILABLE, Cause.OTHER_ANSWER):  # maybe it can still end
                was_asked = self._ask_to_end(pause, cut_counts=False)
            if seen.is_final or time.monotonic() >= deadline or not (waits or was_asked):
                pause(0)  # a signal counts for more than what it made fail
                raise _not_stopped(seen, was_asked=was_asked)
            pause(_POLL_S)

    def _ask_to_end(self, pause: Callable[[float], None], *, cut_counts: bool = True) -> bool:
        try:
            response, _ = self._request("POST", "api/shutdown", pause=pause)
        except UnreachableError:  # some proxies cut the connection before the answer
            return cut_counts
        return response.status_code == 200  # noqa: PLR2004

    def _counts_as_gone(self, seen: Observation, unavailable_s: float) -> bool:
        """After our own shutdown: a port of this machine that nobody listens on, or 503 for a minute."""
        if self._is_local and seen.cause is Cause.CONNECTION_REFUSED:
            return True
        return unavailable_s >= _UNAVAILABLE_MEANS_GONE_S


def _cause(error: UnreachableError) -> Cause:
    if error.certificate_untrusted:
        return Cause.CERTIFICATE_UNTRUSTED
    return Cause.CONNECTION_REFUSED if error.connection_refused else Cause.NO_ANSWER


def _not_stopped(seen: Observation, *, was_asked: bool) -> ClinderError:
    reason = seen.reason or "it is still running"
    if seen.cause is Cause.TOKEN_REFUSED:
        hint = "Its token is another one by now: look where the session came from."
        return RefusedError(because("the session cannot be stopped", reason), hint=hint)
    if was_asked:
        return TimedOutError(because("the session was asked to stop, but is not confirmed stopped", reason))
    return UnreachableError(because("the session cannot be stopped", reason))


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT:
        return value
    return None


def _moment(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _MOST_OF_A_MOMENT else None
