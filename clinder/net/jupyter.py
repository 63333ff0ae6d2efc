"""A session's Jupyter Server over its REST API: is it there, does a kernel start, shut it down.

What a dead session answers depends on the proxy before it, and was measured: a redirect, 404, 424 or a 403 page of
HTML mean that it is gone; 503, silence and refused connections say nothing. Redirects are never followed, and the
token travels in a header alone.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from clinder.model.errors import ClinderError, LaunchError, RefusedError, TimedOutError, UnreachableError
from clinder.model.observation import Cause, Condition, Observation
from clinder.model.wording import because, bounded
from clinder.net.http import ask, new_client, translated
from clinder.net.loopback import leads_to_loopback
from clinder.system.redact import without_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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

    def warm(self, kernel: str, *, deadline: float, pause: Callable[[float], None]) -> None:
        """Start a kernel, wait until it is ready to work, and stop it again.

        A kernel counts as starting until somebody opens its channels: the server then asks it for its information,
        and shows it as idle once it has answered (by its source, `jupyter_server` 2). So the channels are opened.

        Args:
            kernel: the name of a kernel, or `auto` for the server's default.
            deadline: on the monotonic clock.
            pause: sleeps so many seconds, or raises to leave.

        Raises:
            LaunchError: no such kernel, it died, or it was not ready in time.
        """
        what = "the server's default kernel" if kernel == "auto" else f"the kernel {kernel!r}"
        hint = 'Look at the repository\'s environment, or set session.warm = "off" in clinder.toml.'
        name = {} if kernel == "auto" else {"name": kernel}
        try:
            response, started = self._request(
                "POST", "api/kernels", pause=pause, timeout_s=_left_s(deadline), json=name
            )
        except UnreachableError as error:
            raise LaunchError(f"{what} could not be started: {error.message}", hint=hint) from error
        identifier = started.get("id") if isinstance(started, dict) else None
        if response.status_code != 201 or not isinstance(identifier, str):  # noqa: PLR2004
            said = without_token(str(started.get("message") or ""), self._token) if isinstance(started, dict) else ""
            status = because(f"HTTP {response.status_code}", bounded(said))
            raise LaunchError(f"{what} could not be started ({status})", hint=hint)
        path = f"api/kernels/{quote(identifier, safe='')}"
        try:
            with self._channels(path, _left_s(deadline)):
                self._await_idle(path, what, hint, deadline, pause)
        finally:
            with contextlib.suppress(ClinderError):
                self._request("DELETE", path)

    def _await_idle(self, path: str, what: str, hint: str, deadline: float, pause: Callable[[float], None]) -> None:
        state = "starting"
        while True:
            with contextlib.suppress(UnreachableError):
                response, kernel = self._request("GET", path, pause=pause)
                if isinstance(kernel, dict) and "execution_state" in kernel:
                    state = str(kernel["execution_state"])
                if state == "idle":
                    return
                if state == "dead" or response.status_code in (302, 404, 424):
                    raise LaunchError(f"{what} died while it started", hint=hint)
            if time.monotonic() >= deadline:
                raise LaunchError(f"{what} was not ready in time (it is {state!r})", hint=hint)
            pause(_POLL_S)

    @contextlib.contextmanager
    def _channels(self, path: str, timeout_s: float) -> Iterator[None]:
        """Open a kernel's WebSocket, by its opening handshake (RFC 6455) alone: nothing is said over it."""
        with new_client() as client:
            client.headers["Authorization"] = self._client.headers["Authorization"]
            with translated(self._who):
                response = client.get(
                    f"{self._url}{path}/channels",
                    params={"session_id": secrets.token_hex(8)},
                    headers={
                        "Connection": "Upgrade",
                        "Upgrade": "websocket",
                        "Sec-WebSocket-Version": "13",
                        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
                    },
                    timeout=timeout_s,
                    allow_redirects=False,
                    stream=True,
                )
            with response:
                if response.status_code != 101:  # noqa: PLR2004
                    raise LaunchError(f"the channels of a kernel cannot be opened (HTTP {response.status_code})")
                yield

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


def _left_s(deadline: float) -> float:
    return max(deadline - time.monotonic(), 1.0)


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT:
        return value
    return None


def _moment(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _MOST_OF_A_MOMENT else None
