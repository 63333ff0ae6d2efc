"""`clinder hub check` and `clinder hub serve`."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import Invocation, command, read_interval_s, read_path
from clinder.config.settings import LOCAL_HUB
from clinder.model.display import show_text, show_value
from clinder.model.errors import ClinderError, UsageError
from clinder.output.documents import hub_document
from clinder.output.launches import last_rate_limit
from clinder.output.result import Result, print_stderr
from clinder.output.text import hub_text

if TYPE_CHECKING:
    from clinder.model.events import RateLimit

_UNHEALTHY_STATUS = 8


class GoneStyle(StrEnum):
    """The server whose answers an ended session imitates."""

    JUPYTERHUB = "jupyterhub"
    MYBINDER = "mybinder"


@command("check")
def check(
    invocation: Invocation,
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="URL of the hub [default: the first declared].")
    ] = None,
) -> Result:
    """Check a hub's health, providers and rate limit."""
    from clinder.hubs.binderhub import BinderHub  # imports requests, which `clinder --help` must not wait for

    # A hub given as an argument is checked whatever clinder.toml declares.
    config = invocation.load_config(discover_file=url is None, settings={"hub": url, "repo": None})
    name = config.hubs[0]
    if name == LOCAL_HUB:
        raise UsageError(
            "the embedded hub cannot be checked: it does not serve HTTP",
            hint="Run `clinder hub serve`, and check that URL.",
        )
    report = BinderHub(name, connect_s=config.timeouts.connect.total_seconds()).report()
    rate_limit = report.rate_limit or _last_rate_limit(invocation, name)
    return Result(
        hub_document(name, report, rate_limit),
        text=hub_text(name, report, rate_limit),
        messages=(report.problem,) if report.problem else (),
        exit_status=_UNHEALTHY_STATUS if report.problem else 0,
    )


def _last_rate_limit(invocation: Invocation, hub: str) -> RateLimit | None:
    """Get the rate limit that the hub reported at the last launch; `None` without a state folder."""
    try:
        return last_rate_limit(invocation.state_folder().logs, hub)
    except ClinderError:
        return None


@command("serve", json=False, config=False, state=False)
def serve(
    invocation: Invocation,
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")
    ] = 8585,
    redirect: Annotated[bool, typer.Option("--redirect", hidden=True)] = False,
    rate_limit: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    quota: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    ban: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    gone_as: Annotated[GoneStyle, typer.Option(hidden=True)] = GoneStyle.JUPYTERHUB,
    keepalive: Annotated[str, typer.Option(hidden=True)] = "25s",
    poll: Annotated[str, typer.Option(hidden=True)] = "30s",
    cache_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder for repositories and environments.")
    ] = None,
) -> Result:
    """Serve the embedded hub over HTTP, for any Binder client.

    Sessions run as you, without isolation. With CLINDER_BUILD_TOKEN set, each launch must send that token. Ctrl-C stops
    the hub and every session it started.
    """
    from clinder.localhub import http  # heavy, and needs the extra `local`

    options = http.ServeOptions(
        port=port,
        redirect=redirect,
        rate_limit=rate_limit,
        quota=quota,
        banned=tuple(_read_pattern("--ban", given) for given in ban or ()),
        gone_as=gone_as.value,
        keepalive_s=read_interval_s("--keepalive", keepalive),
        poll_s=read_interval_s("--poll", poll),
        cache_dir=read_path("--cache-dir", cache_dir),
        build_token=os.environ.get("CLINDER_BUILD_TOKEN") or None,
    )
    http.serve(options, ready=lambda url: print_stderr(f"serving a BinderHub at {url} (press Ctrl-C to stop)"))
    return Result({}, messages=("stopped",))


def _read_pattern(option: str, given: str) -> re.Pattern[str]:
    try:
        return re.compile(given, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{option}: {show_value(given)} is not a valid regular expression: {show_text(str(error))}"
        ) from error
