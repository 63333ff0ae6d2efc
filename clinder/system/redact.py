"""What no screen, log or child process may see that has no need of it: tokens, and the variables that hold them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_VARIABLES = ("CLINDER_BUILD_TOKEN", "CLINDER_SESSION")
"""What is meant for clinder alone."""
_VARIABLES = (*OWN_VARIABLES, "JUPYTER_TOKEN")
_MARK = "***"


def without_secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the environment of a child that has no need of any token, such as git or a browser."""
    base = os.environ if environment is None else environment
    return {name: value for name, value in base.items() if name not in _VARIABLES}


def without_token(text: str, token: object) -> str:
    """Take a token out of somebody else's words, as it is and as it stands in URLs."""
    if not isinstance(token, str) or not token:
        return text
    return text.replace(token, _MARK).replace(quote(token, safe=""), _MARK)
