"""`/build/{provider}/{spec}`: the event stream of one launch.

Errors are sent in the stream too, with HTTP 200 and BinderHub's messages; they close it when they do on BinderHub.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tornado.iostream import StreamClosedError

from clinder.localhub.http.builds import Builds, Channel
from clinder.localhub.http.pages import LoopbackHandler, is_banned, is_loopback
from clinder.localhub.hub import FailedError
from clinder.localhub.processes import ClosedError
from clinder.model.errors import HubError, UsageError
from clinder.model.events import Event, Phase
from clinder.model.providers import cloneable_providers
from clinder.model.repository import RepositorySpec

if TYPE_CHECKING:
    from clinder.localhub.http.limits import RateLimiter
    from clinder.localhub.http.options import ServeOptions
    from clinder.localhub.http.sessions import Sessions
    from clinder.localhub.http.workers import Worker
    from clinder.localhub.hub import Image, LocalHub, Resolved

_ACCEPTED = "text/event-stream"


@dataclass
class Hub:
    """The state that all streams share."""

    options: ServeOptions
    local: LocalHub
    resolving: Worker
    builds: Builds
    sessions: Sessions
    rate_limit: RateLimiter | None
    streams: set[asyncio.Task[None]] = field(default_factory=set)


class RefusedSpecError(Exception):
    """The spec is invalid for this hub; the message is BinderHub's."""


class BuildHandler(LoopbackHandler):
    """One event stream."""

    def initialize(self, hub: Hub) -> None:
        """Set the shared state."""
        self._hub = hub
        self._stream: asyncio.Task[None] | None = None

    async def get(self, provider: str, _spec: str) -> None:
        """Launch, and stream the events."""
        self.set_header("Content-Type", _ACCEPTED)
        self.set_header("Cache-Control", "no-cache")
        refused = self._refusal()
        if refused is not None:
            self.finish(_encoded(refused))
            return
        self._stream = asyncio.create_task(self._report(provider))
        self._hub.streams.add(self._stream)
        try:
            with suppress(asyncio.CancelledError, StreamClosedError):
                await self._stream
        finally:
            self._hub.streams.discard(self._stream)
        with suppress(StreamClosedError):
            await self.finish()

    def on_connection_close(self) -> None:
        """Stop streaming to a client that disconnected; its build or launch continues."""
        if self._stream is not None:
            self._stream.cancel()

    def _refusal(self) -> Event | None:
        if not self._is_local_request():
            return Event(Phase.FAILED, "Launching from pages of other origins is not allowed.\n", status_code=403)
        if self.request.headers.get("Accept") != _ACCEPTED:
            return Event(Phase.FAILED, f"Expected the header Accept: {_ACCEPTED}.\n", status_code=400)
        token = self._hub.options.build_token
        given = self.get_query_argument("build_token", "")
        if token is not None and not hmac.compare_digest(given.encode(), token.encode()):
            return Event(Phase.FAILED, "Invalid build token\n", status_code=403)
        if self._hub.rate_limit is not None:
            headers = self._hub.rate_limit.take(self.request.remote_ip or "")
            if headers is None:
                message = "Rate limit exceeded. Try again in 3600 seconds.\n"
                return Event(Phase.FAILED, message, status_code=429)
            for name, value in headers.items():
                self.set_header(name, value)
        return None

    def _is_local_request(self) -> bool:
        """Whether the request may launch: web pages of other machines may not, since launching runs arbitrary code.

        Pages on the loopback are allowed. `Sec-Fetch-Site` reveals requests without an `Origin`.
        """
        if origin := self.request.headers.get("Origin"):
            return is_loopback(urlsplit(origin).netloc)
        return self.request.headers.get("Sec-Fetch-Site") != "cross-site"

    async def _report(self, provider: str) -> None:
        keeping_alive = asyncio.create_task(self._keep_alive())
        try:
            await self.flush()  # the head, so that a client need not wait for the first event
            await self._launch(provider)
        except (FailedError, RefusedSpecError) as error:
            await self._emit(error.event if isinstance(error, FailedError) else Event(Phase.FAILED, f"{error}\n"))
        except HubError as error:
            await self._emit(Event(Phase.FAILED, f"{error.message}\n", status_code=500))
        except ClosedError:
            return
        finally:
            keeping_alive.cancel()

    async def _launch(self, provider: str) -> None:
        path = self.request.path.removeprefix("/build/").rstrip("/")
        spec = read_spec(provider, path.partition("/")[2])
        plain = unquote(path.partition("/")[2])
        if is_banned(self._hub.options.banned, plain):
            message = f"Sorry, {plain} is not allowed to launch. Please contact admins for more info!"
            raise RefusedSpecError(message)
        resolved = await self._resolve(spec)
        image = await asyncio.to_thread(self._hub.local.find_image, resolved)
        found = image is not None
        if image is None:
            image = await self._build(resolved)
            if image is None:
                # BinderHub never closes the stream of a failed build.
                await asyncio.Event().wait()
                return
        # Before the next event: from here on, the server is launched even if the client disconnects.
        launch = self._hub.sessions.launch(image, f"http://{self.request.host}")
        message = "Found built image, launching...\n" if found else "Built image, launching...\n"
        await self._emit(Event(Phase.BUILT, message, image=resolved.image))
        last = None
        async for event in launch.events():
            await self._emit(event)
            last = event.phase
        if not found and last is Phase.READY:
            await asyncio.sleep(self._hub.options.linger_s)

    async def _resolve(self, spec: RepositorySpec) -> Resolved:
        channel = Channel()
        steps = self._hub.local.resolve(spec)
        resolving = asyncio.ensure_future(self._hub.resolving.run(steps, channel.on_event))
        resolving.add_done_callback(channel.close)
        try:
            async for event in channel.events():
                await self._emit(event)
            return await resolving
        finally:
            resolving.cancel()  # for a client that disconnected while it waited for a thread

    async def _build(self, resolved: Resolved) -> Image | None:
        """Build, or follow the build in progress; return `None` if it failed."""
        build = self._hub.builds.get(resolved)
        await self._emit(Event(Phase.WAITING, "Waiting for build to start...\n"))
        async for event in build.events():
            await self._emit(event)
        try:
            return await build.image()
        except FailedError as error:
            bare = Event(Phase.FAILED)
            for event in (bare, Event(Phase.BUILDING, f"ERROR: {error}\n"), error.event, bare):
                await self._emit(event)
            return None

    async def _keep_alive(self) -> None:
        with suppress(StreamClosedError):
            while True:
                await asyncio.sleep(self._hub.options.keepalive_s)
                self.write(":keepalive\n\n")
                await self.flush()

    async def _emit(self, event: Event) -> None:
        self.write(_encoded(event))
        await self.flush()


class RedirectHandler(LoopbackHandler):
    """`/build/` on the front page of a federation: redirects to a member."""

    def initialize(self, member_port: int) -> None:
        """Set the member's port on this machine."""
        self._member_port = member_port

    def get(self, _provider: str, _spec: str) -> None:
        """Redirect to the member, with a cookie that selects the same one for this spec next time."""
        member = f"http://{urlsplit(f'//{self.request.host}').hostname}:{self._member_port}"
        self.set_cookie("host", f"127.0.0.1:{self._member_port}", path=self.request.path)
        self.set_header("Location", f"{member}{self.request.uri}")
        self.set_status(307)
        self.finish()


def read_spec(provider: str, path: str) -> RepositorySpec:
    """Parse a spec from the part of the path after `/build/{provider}/`, still encoded.

    Raises:
        RefusedSpecError: it is invalid; the message is BinderHub's.
    """
    served = cloneable_providers()
    if provider not in served:
        raise RefusedSpecError(f"No provider found for prefix {provider}")
    form = served[provider].spec_form
    if form and path.count("/") < form.count("/"):
        message = f'Spec is not of the form "{form}", provided: "{path}".'
        if "/" in path and not path.endswith("/HEAD"):
            message += f' Did you mean "{path}/HEAD"?'
        raise RefusedSpecError(message)
    try:
        return RepositorySpec.from_build_path(f"{provider}/{path}")
    except UsageError as error:
        raise RefusedSpecError(error.message) from error


def _encoded(event: Event) -> str:
    return f"data: {event.to_json()}\n\n"
