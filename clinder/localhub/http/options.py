"""The options of `hub serve`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import re
    from pathlib import Path


@dataclass(frozen=True)
class ServeOptions:
    """The options of the hub.

    Attributes:
        port: the port on the loopback interface; 0 for a free one.
        redirect: redirect `/build/` to a member on another port, as the front page of a federation does (307).
        build_token: the token that each launch must send, if set.
        rate_limit: the number of launches per hour and address, if limited.
        quota: the number of sessions that may run at once, if limited.
        keepalive_s: the interval of the comments that keep streams open.
        linger_s: how long a stream stays open after `ready` if there was a build.
        banned: patterns of specs (`org/repo/ref`) that may not be launched, matched from the start.
        cache_dir: the folder of repositories, environments and sessions.
        gone_as: whether requests to an ended session get the answer of a plain JupyterHub or of mybinder.org.
        poll_s: the interval at which the processes of sessions are checked; until then, a dead one answers 503.
        launch_retries_s: the delays before each retry of a failed launch.
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
