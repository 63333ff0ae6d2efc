"""`clinder hub check` and `clinder hub serve`."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clinder.cli.command import Invocation, command, read_interval_s
from clinder.config.settings import LOCAL_HUB
from clinder.model.display import show_text, show_value
from clinder.model.errors import ClinderError, UsageError
from clinder.output.documents import hub_document
from clinder.output.launches import last_rate_limit
from clinder.output.result import Result, print_stderr
from clinder.output.text import hub_text

if TYPE_CHECKING:
    from clinder.model.events import RateLimit

_UNWELL_STATUS = 8


class GoneStyle(StrEnum):
    """Whose ways a session that has ended follows."""

    JUPYTERHUB = "jupyterhub"
    MYBINDER = "mybinder"


@command("check")
def check(
    invocation: Invocation,
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The hub; the first one declared, if left out.")
    ] = None,
) -> Result:
    """Say whether a hub is a BinderHub, is well, which providers it has and how many launches are left."""
    from clinder.hubs.binderhub import BinderHub

    # A hub that is named is looked at whatever else is declared.
    config = invocation.load_config(discover_file=url is None, settings={"hub": url, "repo": None})
    name = config.hubs[0]
    if name == LOCAL_HUB:
        raise UsageError(
            "the embedded hub answers no requests by itself", hint="`clinder hub serve` makes it speak HTTP."
        )
    report = BinderHub(name, connect_s=config.timeouts.connect.total_seconds()).report()
    left = report.rate_limit or _recall(invocation, name)
    return Result(
        hub_document(name, report, left),
        text=hub_text(name, report, left),
        messages=(report.problem,) if report.problem else (),
        exit_status=_UNWELL_STATUS if report.problem else 0,
    )


def _recall(invocation: Invocation, hub: str) -> RateLimit | None:
    """Look up what the hub said at the last launch; without a state folder, nothing is known."""
    try:
        return last_rate_limit(invocation.state_folder().logs, hub)
    except ClinderError:
        return None


@command("serve", json=False, config=False, state=False)
def serve(
    invocation: Invocation,
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=65535, help="The port on 127.0.0.1; 0: any free one.")
    ] = 8585,
    redirect: Annotated[
        bool, typer.Option("--redirect", help="Answer launches with a redirect, as federations do.")
    ] = False,
    rate_limit: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="Launches allowed in an hour.")
    ] = None,
    quota: Annotated[int | None, typer.Option(metavar="NUMBER", min=0, help="Sessions allowed at once.")] = None,
    ban: Annotated[
        list[str] | None, typer.Option(metavar="REGEX", help="A regular expression of specs to refuse; repeatable.")
    ] = None,
    gone_as: Annotated[GoneStyle, typer.Option(help="What a session that has ended answers.")] = GoneStyle.JUPYTERHUB,
    keepalive: Annotated[
        str, typer.Option(metavar="TIME", help="Between the comments that keep streams open.")
    ] = "25s",
    poll: Annotated[str, typer.Option(metavar="TIME", help="Between looks at the sessions' processes.")] = "30s",
    cache_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where environments are kept.")] = None,
) -> Result:
    """Serve the embedded hub on this machine as a BinderHub, for any Binder client; it isolates nothing.

    Set CLINDER_BUILD_TOKEN to make it ask for a build token. Ctrl-C stops it and every session it started.
    """
    import os

    from clinder.localhub.http import ServeOptions
    from clinder.localhub.http import serve as run

    options = ServeOptions(
        port=port,
        redirect=redirect,
        rate_limit=rate_limit,
        quota=quota,
        banned=tuple(_read_pattern("--ban", given) for given in ban or ()),
        gone_as=gone_as.value,
        keepalive_s=read_interval_s("--keepalive", keepalive),
        poll_s=read_interval_s("--poll", poll),
        cache_dir=cache_dir,
        build_token=os.environ.get("CLINDER_BUILD_TOKEN") or None,
    )
    run(options, ready=lambda url: print_stderr(f"serving a BinderHub at {url} (Ctrl-C stops it and its sessions)"))
    return Result({}, messages=("stopped",))


def _read_pattern(option: str, given: str) -> re.Pattern[str]:

    try:
        return re.compile(given, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{option}: {show_value(given)} is no regular expression: {show_text(str(error))}") from error
