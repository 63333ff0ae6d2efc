"""What no screen, log or child process may see: tokens, and the variables that hold clinder's own."""

from __future__ import annotations

from urllib.parse import quote

OWN_VARIABLES = ("CLINDER_BUILD_TOKEN", "CLINDER_SESSION")
"""What is meant for clinder alone."""
_MARK = "***"


def without_token(text: str, token: object) -> str:
    """Take a token out of somebody else's words, as it is and as it stands in URLs."""
    if not isinstance(token, str) or not token:
        return text
    return text.replace(token, _MARK).replace(quote(token, safe=""), _MARK)
