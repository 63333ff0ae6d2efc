"""The base class of all handlers, and the simple ones: pages, health, versions, providers."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shutil
from html import escape
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.web import RequestHandler

import clinder
from clinder.localhub.cache import Cache
from clinder.model.errors import HubError
from clinder.model.providers import cloneable_providers
from clinder.model.repository import DEFAULT_REF

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from pathlib import Path

    from clinder.localhub.http.options import ServeOptions


def is_loopback(host: str) -> bool:
    """Whether a host from `Host` or `Origin` can only be this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class LoopbackHandler(RequestHandler):
    """A handler that only accepts requests to this machine's own names, to prevent DNS rebinding by web pages."""

    def set_default_headers(self) -> None:
        """Allow pages of other origins to read the responses, as BinderHub does."""
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Headers", "cache-control")

    def prepare(self) -> Any:
        """Refuse requests that name another host."""
        if not is_loopback(self.request.host):
            self.page(403, "Forbidden: this hub only accepts requests to localhost")

    def page(self, status: int, title: str) -> None:
        """Respond with an HTML page."""
        self.set_status(status, responses.get(status, title))
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(f"<!DOCTYPE html><title>{escape(title)}</title><h1>{escape(title)}</h1>\n")


class PageHandler(LoopbackHandler):
    """All other paths: like BinderHub, respond with a page and 200."""

    def get(self) -> None:
        """Respond with the page."""
        self.page(200, "clinder's embedded hub")

    head = get


class JsonHandler(LoopbackHandler):
    """An endpoint with a constant JSON response."""

    def initialize(self, content: object) -> None:
        """Set the content of the response."""
        self._content = content

    def get(self) -> None:
        """Respond with the content."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self._content))


class HealthHandler(LoopbackHandler):
    """`/health`: the health of each part that launching needs."""

    def initialize(self, options: ServeOptions, pods: Callable[[], tuple[int, int]]) -> None:
        """Set the options; `pods` returns the numbers of builds and of sessions."""
        self._options = options
        self._pods = pods

    async def get(self) -> None:
        """Respond with the checks, and 503 if one fails."""
        loop = asyncio.get_running_loop()
        builds, sessions = self._pods()
        checks: list[dict[str, Any]] = [
            {"service": "git", "ok": shutil.which("git") is not None},
            {"service": "Cache folder", "ok": await loop.run_in_executor(None, _is_usable, self._options.cache_dir)},
            {
                "service": "Pod quota",
                "total_pods": builds + sessions,
                "build_pods": builds,
                "user_pods": sessions,
                "quota": self._options.quota,
                "ok": self._options.quota is None or sessions < self._options.quota,
                "_ignore_failure": True,
            },
        ]
        healthy = all(check["ok"] or check.get("_ignore_failure", False) for check in checks)
        self.set_status(200 if healthy else 503)
        self.finish({"ok": healthy, "checks": checks})

    async def head(self) -> None:
        """Respond with the status only."""
        await self.get()


def _is_usable(cache_dir: Path | None) -> bool:
    try:
        Cache.at(cache_dir).check()
    except HubError:
        return False
    return True


def versions() -> dict[str, Any]:
    """Get the content of `/versions`."""
    name = f"clinder {clinder.__version__}"
    return {"builder_info": {"build_image": name}, "binderhub": name, "builder": name}


def providers() -> list[dict[str, Any]]:
    """Get the content of `/api/repoproviders`: those providers that the embedded hub can fetch from."""
    return [
        {
            "displayName": provider.name,
            "id": provider.id,
            "spec": {"validateRegex": provider.spec_pattern},
            "repo": {
                "label": provider.form_label or provider.name,
                "placeholder": "",
                "urlEncode": provider.one_segment,
            },
            "ref": {"enabled": provider.takes_ref, "default": DEFAULT_REF},
        }
        for provider in cloneable_providers().values()
    ]


def is_banned(banned: tuple[re.Pattern[str], ...], spec: str) -> bool:
    """Whether a spec may not be launched; patterns match from its start, as in BinderHub."""
    return any(pattern.match(spec) for pattern in banned)
