"""BinderHub's HTTP API over the embedded hub, so that any Binder client can use it, as `clinder hub serve`.

What it answers was measured on a real BinderHub; each fault of a real one can be had by an option.
"""

from __future__ import annotations

from clinder.localhub.http.options import ServeOptions, serve

__all__ = ["ServeOptions", "serve"]
