"""`clinder hub serve`: serve the embedded hub with BinderHub's HTTP API, for any Binder client.

Its responses are those observed on a real BinderHub; options simulate the failures of a real one.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from clinder.localhub.http.options import ServeOptions
from clinder.model.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ServeOptions", "serve"]


def serve(options: ServeOptions, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, then close all streams and stop all sessions.

    Must be called in the main thread, since it sets handlers for these signals.

    Args:
        options: the options of the hub.
        ready: called with the hub's URL once it listens.

    Raises:
        HubError: the extra `local` is not installed, or the port is not available.
    """
    if importlib.util.find_spec("tornado") is None:
        raise HubError("`hub serve` needs tornado", hint="pip install 'clinder[local]'")
    import asyncio  # these two are heavy, and need the extra `local`

    from clinder.localhub.http.app import run  # see above

    asyncio.run(run(options, ready))
