"""`clinder hub serve`: the embedded hub over BinderHub's HTTP API, so that any Binder client can use it.

Its answers are those that were measured on a real BinderHub; each failure of a real one can be had by an option.
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
    """Serve until SIGINT, SIGTERM or SIGHUP; then all streams are closed and all sessions stopped.

    Call it in the main thread, since it sets handlers for these signals.

    Args:
        options: how the hub behaves.
        ready: called with the hub's URL once it listens.

    Raises:
        HubError: the extra `local` is not installed, or the port cannot be had.
    """
    if importlib.util.find_spec("tornado") is None:
        raise HubError("`hub serve` needs tornado", hint="pip install 'clinder[local]'")
    import asyncio  # these two are heavy, and need the extra `local`

    from clinder.localhub.http.app import run  # see above

    asyncio.run(run(options, ready))
