"""Whether a session's server can start a kernel that works.

A kernel works when it answers a `kernel_info_request` sent over its channels. What the server's REST API says of its
state is no measure of that: it may read `starting` for good, because one status message was missed (`jupyter-server` up
to 2.17, measured) or because nobody keeps it up to date (`jupyter-server-documents` 0.3.3). Only that a kernel died is
taken from there as well.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from clinder.model.errors import ClinderError, LaunchError, UnreachableError
from clinder.net.kernel_messages import SUBPROTOCOL_V1, read_message, write_request
from clinder.net.websocket import HandshakeRefusedError, WebSocket, WebSocketClosedError, WebSocketUnavailableError
from clinder.system.redact import without_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import requests

    from clinder.net.kernel_messages import KernelMessage

_POLL_S = 0.25
_ASK_AGAIN_S = 1.0
_LOOK_AGAIN_S = 1.0
_SILENCE_S = 10.0
"""After how much silence on open channels they are opened anew."""
_MOST_SILENCES = 3
"""How often a kernel that the server reports as idle may be silent: something in between holds its answers back."""
_OPENING_S = 70.0
"""How long opening may take: a server waits with its answer for the kernel, for 60 s by default (measured)."""
_LONGEST_PAUSE_S = 16.0
_MOST_FAILURES = 6
"""How often opening the channels may fail in a row; with the pauses in between that takes half a minute."""
_GONE_S = 30.0
"""For how long a proxy may answer as for a session that is gone, before it is: one that restarts does (measured)."""
_REFUSALS = (400, 401, 403, 405, 426, 501)
_NOT_THERE_YET = (302, 404, 424, 502, 503, 504)
_MOST_SAID = 500
_MOST_NAMES = 10
_KERNEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")


class Request(Protocol):
    """Sends a request to a session's server and reads the answer as JSON; see `clinder.net.jupyter.JupyterServer`."""

    def __call__(
        self,
        method: str,
        path: str,
        *,
        pause: Callable[[float], None] = ...,
        timeout_s: float | None = ...,
        **more: Any,
    ) -> tuple[requests.Response, Any]:
        """Send a request.

        Raises:
            UnreachableError: no answer came.
        """


class KernelCheck:
    """Starts a kernel of a session once, and stops it again.

    Args:
        kernel: the name of the kernel, or `auto` for the server's default.
        url: the session's.
        token: the session's; sent in a header alone.
        request: sends a request to the session's server.
        connect_s: limit on connecting, and on the answer of each request, in seconds.
        deadline: when to give up, on the monotonic clock.
        pause: sleeps so many seconds, or raises to leave.
    """

    def __init__(
        self,
        kernel: str,
        *,
        url: str,
        token: str,
        request: Request,
        connect_s: float,
        deadline: float,
        pause: Callable[[float], None],
    ) -> None:
        self._kernel = kernel
        self._name = "the server's default kernel" if kernel == "auto" else f"the kernel {kernel!r}"
        self._url = url
        self._token = token
        self._request = request
        self._connect_s = connect_s
        self._deadline = deadline
        self._pause = pause
        self._looked_at = 0.0
        self._state = ""
        self._gone_since: float | None = None

    def run(self) -> str:
        """Start the kernel, wait until it answers, and stop it.

        Returns:
            Why it is not known whether the kernel works, as a sentence without a full stop; empty where it does.

        Raises:
            LaunchError: there is no such kernel, it cannot be started, it died, or the session is gone.
        """
        path, doubt = self._start()
        if not doubt:
            doubt = self._await_answer(path)
            with contextlib.suppress(UnreachableError):
                self._request("DELETE", path, pause=self._pause)
        return doubt

    def _start(self) -> tuple[str, str]:
        """Start the kernel; returns the path of its resource, or else why it is not known whether it can start."""
        began = time.monotonic()
        body = {} if self._kernel == "auto" else {"name": self._kernel}
        while True:
            left_s = max(self._deadline - time.monotonic(), 1.0)
            try:
                response, made = self._request("POST", "api/kernels", pause=self._pause, timeout_s=left_s, json=body)
            except UnreachableError as error:
                return "", f"{self._name} could not be checked: {error.message}"
            identifier = made.get("id") if isinstance(made, dict) else None
            if response.status_code == 201 and isinstance(identifier, str):  # noqa: PLR2004
                return f"api/kernels/{quote(identifier, safe='')}", ""
            if isinstance(made, dict) or response.status_code not in _NOT_THERE_YET:
                raise self._not_started(response.status_code, made)
            if time.monotonic() >= min(began + _GONE_S, self._deadline):
                return "", f"{self._name} could not be checked: HTTP {response.status_code} in place of the server"
            self._pause(_ASK_AGAIN_S)

    def _not_started(self, status: int, answer: Any) -> LaunchError:
        said = self._said(answer, "message")
        known = self._describe_kernels()
        return LaunchError(
            f"{self._name} could not be started (HTTP {status}{f': {said}' if said else ''}){known}", hint=_HINT
        )

    def _said(self, answer: Any, key: str) -> str:
        """Quote the server, without its token and not at any length."""
        said = without_token(str(answer.get(key) or ""), self._token) if isinstance(answer, dict) else ""
        return f"{said[:_MOST_SAID]}…" if len(said) > _MOST_SAID else said

    def _describe_kernels(self) -> str:
        """Say which kernels there are, where the one that was asked for is none of them; else nothing."""
        try:
            _, listed = self._request("GET", "api/kernelspecs", pause=self._pause)
        except UnreachableError:
            return ""
        listed = listed if isinstance(listed, dict) else {}
        specs, wanted = listed.get("kernelspecs"), listed.get("default") if self._kernel == "auto" else self._kernel
        if not isinstance(specs, dict) or wanted in specs:
            return ""
        names = sorted(name for name in specs if _KERNEL_NAME.fullmatch(name))
        if not names:
            return ": the server has no kernels"
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return without_token(f": the server has {', '.join(names[:_MOST_NAMES])}{more}", self._token)

    def _await_answer(self, path: str) -> str:
        """Wait until the kernel answers; returns why it is not known whether it works, or nothing where it does."""
        failures, silences = 0, 0
        while True:
            with _Conversation(f"{self._url}{path}/channels", self._token, connect_s=self._connect_s) as conversation:
                self._watch(conversation, path)
            if conversation.crash:
                raise conversation.crash
            if conversation.has_answer:
                return ""
            failures = failures + 1 if conversation.has_failed else 0
            if conversation.is_refused or failures >= _MOST_FAILURES:
                return f"{self._name} could not be checked: its channels cannot be used ({conversation.error})"
            silences += conversation.is_silent
            if time.monotonic() >= self._deadline:
                return f"{self._name} did not answer in time"
            if silences >= _MOST_SILENCES and self._state == "idle":
                return f"{self._name} could not be checked: it does not answer, though the server reports it as idle"
            self._wait(min(2.0 ** max(failures - 1, 0), _LONGEST_PAUSE_S), path)

    def _watch(self, conversation: _Conversation, path: str) -> None:
        """Wait until a conversation leads to something, is silent for too long, or time is up."""
        while not conversation.ended.wait(_POLL_S) and time.monotonic() < self._deadline and not conversation.is_silent:
            self._pause(0)
            self._look(path)
        if conversation.kernel_is_dead:
            raise self._died()

    def _wait(self, seconds: float, path: str) -> None:
        until = min(time.monotonic() + seconds, self._deadline)
        while time.monotonic() < until:
            self._pause(_POLL_S)
            self._look(path)

    def _look(self, path: str) -> None:
        """Ask the REST API now and then whether the kernel died.

        Raises:
            LaunchError: it did, or the session is gone.
        """
        now = time.monotonic()
        if now < self._looked_at + _LOOK_AGAIN_S:
            return
        try:
            response, kernel = self._request("GET", path, pause=self._pause)
        except UnreachableError:
            return
        finally:
            self._looked_at = time.monotonic()
        if isinstance(kernel, dict):
            self._gone_since = None
            if response.status_code == 404:  # noqa: PLR2004
                raise self._died("the server no longer has it")
            self._state = str(kernel.get("execution_state"))
            if self._state == "dead":
                raise self._died(self._said(kernel, "reason"))
        elif response.status_code in (302, 404, 424):
            self._gone_since = self._gone_since or now
            if now - self._gone_since >= _GONE_S:
                raise LaunchError(
                    f"the session is gone (HTTP {response.status_code}): it ended while {self._name} started"
                )

    def _died(self, reason: str = "") -> LaunchError:
        return LaunchError(f"{self._name} died while it started{f': {reason}' if reason else ''}", hint=_HINT)


_HINT = 'Look at the repository\'s environment, or set session.warm = "off" in clinder.toml.'


class _Conversation:
    """Asks a kernel for its information, again and again, over channels that it opens; a context manager.

    A thread of its own does that, since neither opening nor reading can be relied on to end in time.

    Attributes:
        ended: set when there is no more to wait for.
        has_answer: whether the kernel answered.
        kernel_is_dead: whether the server said that the kernel is dead.
        error: why it ended otherwise.
        is_refused: whether the server refuses to open channels, so that another try would end the same.
        crash: an error that nobody expected.
    """

    def __init__(self, url: str, token: str, *, connect_s: float) -> None:
        self.ended = threading.Event()
        self.has_answer = False
        self.kernel_is_dead = False
        self.error = ""
        self.is_refused = False
        self.crash: BaseException | None = None
        self._url = url
        self._token = token
        self._connect_s = connect_s
        self._session_id = secrets.token_hex(16)
        self._socket = WebSocket()
        self._requests: set[str] = set()
        self._opened_at: float | None = None
        self._ended_at: float | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="clinder-channels", daemon=True)

    def __enter__(self) -> _Conversation:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        if self._thread.is_alive() and not self.ended.is_set():
            self._socket.cut()
        self._thread.join(timeout=1.0)

    @property
    def is_silent(self) -> bool:
        """Whether the channels have been open for long without an answer."""
        return self._opened_at is not None and time.monotonic() >= self._opened_at + _SILENCE_S

    @property
    def has_failed(self) -> bool:
        """Whether the channels could not be opened, or were closed at once."""
        if self._ended_at is None:
            return False
        return self._opened_at is None or self._ended_at < self._opened_at + 2 * _ASK_AGAIN_S

    def _run(self) -> None:
        try:
            self._open()
            self._converse()
        except HandshakeRefusedError as error:
            self.error, self.is_refused = str(error), error.status in _REFUSALS
        except WebSocketUnavailableError as error:
            self.error, self.is_refused = str(error), True
        except WebSocketClosedError as error:
            self.error = str(error)
        except ClinderError as error:
            self.error = error.message
        except BaseException as error:  # handed on to the thread that waits
            self.crash = error
        finally:
            self._ended_at = time.monotonic()
            self.ended.set()
            self._socket.close()

    def _open(self) -> None:
        self._socket.open(
            f"{self._url}?session_id={self._session_id}",
            headers={"Authorization": f"token {self._token}"},
            who="the server",
            subprotocols=(SUBPROTOCOL_V1,),
            connect_s=self._connect_s,
            answer_s=_OPENING_S,
        )
        self._opened_at = time.monotonic()

    def _converse(self) -> None:
        asked_at = float("-inf")
        while not (self._is_over or self.has_answer or self.kernel_is_dead):
            if time.monotonic() >= asked_at + _ASK_AGAIN_S:
                asked_at = time.monotonic()
                identifier, request = write_request(
                    "kernel_info_request", session_id=self._session_id, subprotocol=self._socket.subprotocol
                )
                self._requests.add(identifier)
                self._socket.send(request)
            for data in self._socket.receive(_POLL_S):
                if message := read_message(data, subprotocol=self._socket.subprotocol):
                    self._hear(message)

    def _hear(self, message: KernelMessage) -> None:
        if message.kind == "kernel_info_reply" and message.parent_id in self._requests:
            self.has_answer = self.has_answer or message.content.get("status", "ok") == "ok"
        elif message.kind == "status" and message.channel == "iopub":
            self.kernel_is_dead = self.kernel_is_dead or message.content.get("execution_state") == "dead"
