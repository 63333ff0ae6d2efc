"""The session in a browser, without its token in a process list: a private page leads the browser there."""

from __future__ import annotations

import contextlib
import html
import json
import os
import sys
import tempfile
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from clinder.system.inherited import inherit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clinder.model.session import Session

_PAGE_KEPT_S = 5.0
"""How long the page stays: a browser that is just starting needs a moment to read it."""
_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>Opening the session</title>
<script>location.replace({address});</script>
<noscript><a href="{link}">Open the session</a></noscript>
"""


def session_link(session: Session, path: str) -> str:
    """Make the link to a path within a session, such as `lab/tree/notebooks`, with the token."""
    return f"{session.url}{quote(path.lstrip('/'), safe='/?&=%@:+,;~')}{'&' if '?' in path else '?'}" + (
        f"token={quote(session.token, safe='')}"
    )


def open_link(link: str, *, pause: Callable[[float], None] = time.sleep) -> bool:
    """Open a link in the user's browser.

    The browser is started with a page that belongs to the user alone and is removed soon after; it replaces itself
    in the tab's history by the link, from which the server's own pages take the token out again. What the browser
    writes down of the addresses it has loaded, it keeps: there the token is worth nothing once the session is stopped.

    Args:
        link: from `session_link`.
        pause: sleeps so many seconds.

    Returns:
        False if there is no browser.
    """
    if not _has_browser():
        return False
    descriptor, name = tempfile.mkstemp(prefix="clinder-open-", suffix=".html")
    page = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            address = json.dumps(link).replace("<", "\\u003c")
            file.write(_PAGE.format(address=address, link=html.escape(link)))
        with _plain_surroundings():
            opened = webbrowser.open(page.as_uri())
        if opened:
            pause(_PAGE_KEPT_S)
        return opened
    finally:
        page.unlink(missing_ok=True)


@contextlib.contextmanager
def _plain_surroundings() -> Iterator[None]:
    """Leave in the environment what a browser needs, while one is started; `webbrowser` takes none."""
    before = dict(os.environ)
    for name in before.keys() - inherit("program", "network", "desktop").keys():
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _has_browser() -> bool:
    """Whether there is a browser with a screen: one in a text terminal would take the terminal over."""
    if os.environ.get("BROWSER") or sys.platform in ("win32", "darwin"):
        return True
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
