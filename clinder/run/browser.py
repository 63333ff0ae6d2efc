"""Open a session in a browser, through a private page so that no process list shows the token."""

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
"""How long the page is kept: a browser that is just starting takes a moment to read it."""
_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>Opening the session</title>
<script>location.replace({address});</script>
<noscript><a href="{link}">Open the session</a></noscript>
"""


def session_link(session: Session, path: str) -> str:
    """Get the link to a path in a session, such as `lab/tree/notebooks`, including the token."""
    return f"{session.url}{quote(path.lstrip('/'), safe='/?&=%@:+,;~')}{'&' if '?' in path else '?'}" + (
        f"token={quote(session.token, safe='')}"
    )


def open_link(link: str, *, pause: Callable[[float], None] = time.sleep) -> bool:
    """Open a link in the user's browser.

    The browser is given a page that only the user can read and that is removed soon after. The page replaces itself
    with the link in the tab's history, and the server's own pages then remove the token from the address. The browser
    may still record the link among the addresses it has loaded; the token is worthless once the session is stopped.

    Args:
        link: a link from `session_link`.
        pause: sleeps for a number of seconds.

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
        with _browser_environment():
            opened = webbrowser.open(page.as_uri())
        if opened:
            pause(_PAGE_KEPT_S)
        return opened
    finally:
        page.unlink(missing_ok=True)


@contextlib.contextmanager
def _browser_environment() -> Iterator[None]:
    """Reduce the environment to what a browser needs while one is started; `webbrowser` cannot be given one."""
    before = dict(os.environ)
    for name in before.keys() - inherit("program", "network", "desktop").keys():
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _has_browser() -> bool:
    """Whether there is a graphical browser: a text browser would take over the terminal."""
    if os.environ.get("BROWSER") or sys.platform in ("win32", "darwin"):
        return True
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
