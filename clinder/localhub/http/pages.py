"""What all answers have in common, and the plain ones: pages, health, versions, providers."""

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
    """Whether a host, as `Host` and `Origin` give it, can only be this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class LoopbackHandler(RequestHandler):
    """Answers none but requests for this machine by its own names, so that no web page reaches it by DNS rebinding."""

    def set_default_headers(self) -> None:
        """Let pages of other origins read the answers, as BinderHub does."""
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Headers", "cache-control")

    def prepare(self) -> Any:
        """Refuse requests that name another host."""
        if not is_loopback(self.request.host):
            self.page(403, "Forbidden: this hub answers to localhost alone")

    def page(self, status: int, title: str) -> None:
        """Answer with a page of HTML."""
        self.set_status(status, responses.get(status, title))
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(f"<!DOCTYPE html><title>{escape(title)}</title><h1>{escape(title)}</h1>\n")


class PageHandler(LoopbackHandler):
    """Every path that is nothing else: BinderHub answers with its page, and 200."""

    def get(self) -> None:
        """Show what this is."""
        self.page(200, "clinder's embedded hub")

    head = get


class JsonHandler(LoopbackHandler):
    """An endpoint whose answer changes with nothing but the options."""

    def initialize(self, content: object) -> None:
        """Take what is to be answered."""
        self._content = content

    def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self._content))


class HealthHandler(LoopbackHandler):
    """`/health`: the parts that launching needs, each with whether it is well."""

    def initialize(self, options: ServeOptions, pods: Callable[[], tuple[int, int]]) -> None:
        """Take what is looked at; `pods` gives the numbers of builds and of sessions."""
        self._options = options
        self._pods = pods

    async def get(self) -> None:
        """Answer with 503 if anything is down."""
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
        well = all(check["ok"] or check.get("_ignore_failure", False) for check in checks)
        self.set_status(200 if well else 503)
        self.finish({"ok": well, "checks": checks})

    async def head(self) -> None:
        """Answer with the status alone."""
        await self.get()


def _is_usable(cache_dir: Path | None) -> bool:
    try:
        Cache.at(cache_dir).check()
    except HubError:
        return False
    return True


def versions() -> dict[str, Any]:
    """The content of `/versions`."""
    name = f"clinder {clinder.__version__}"
    return {"builder_info": {"build_image": name}, "binderhub": name, "builder": name}


def providers() -> list[dict[str, Any]]:
    """The content of `/api/repoproviders`: those of BinderHub's that the embedded hub can fetch from."""
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
    """Whether a spec may not launch; the patterns match from its start, as BinderHub's do."""
    return any(pattern.match(spec) for pattern in banned)
