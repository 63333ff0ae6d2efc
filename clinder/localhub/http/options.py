"""The options of `hub serve`, and its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import re
    from pathlib import Path


@dataclass(frozen=True)
class ServeOptions:
    """How the hub behaves.

    Attributes:
        port: where it listens on the loopback; 0 for any free port.
        redirect: answer `/build/` as a federation's front does: 307 to a member, which listens on another port.
        build_token: asked for with each launch, if set.
        rate_limit: launches an hour and address, if set.
        quota: sessions that may run at once, if set.
        keepalive_s: seconds between the comments that keep streams open.
        linger_s: seconds for which a stream stays open past `ready` after a build.
        banned: a spec (`org/repo/ref`) that one of these patterns matches at its start may not launch.
        cache_dir: where repositories, environments and sessions are kept.
        gone_as: how a session that has ended answers: as a plain JupyterHub does, or as mybinder.org does.
        poll_s: seconds between looks at the sessions' processes; until then a dead one answers 503.
        launch_retries_s: seconds to wait before each further try of a launch that failed.
    """

    port: int = 8585
    redirect: bool = False
    build_token: str | None = field(default=None, repr=False)
    rate_limit: int | None = None
    quota: int | None = None
    keepalive_s: float = 25.0
    linger_s: float = 60.0
    banned: tuple[re.Pattern[str], ...] = ()
    cache_dir: Path | None = None
    gone_as: Literal["jupyterhub", "mybinder"] = "jupyterhub"
    poll_s: float = 30.0
    launch_retries_s: tuple[float, ...] = (4.0, 8.0, 16.0)
