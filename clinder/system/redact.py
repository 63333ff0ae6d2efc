"""Removal of tokens from text, and the variables that contain clinder's own secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN_VARIABLES = ("CLINDER_BUILD_TOKEN", "CLINDER_SESSION")
"""The variables that only clinder needs."""
_MARK = "***"
_PARAMETER = re.compile(r"([?&]token=)[^\s&#\"'<>]+")


def without_token(text: str, token: object) -> str:
    """Redact a token in untrusted text, both plain and percent-encoded."""
    if not isinstance(token, str) or not token:
        return text
    return text.replace(token, _MARK).replace(quote(token, safe=""), _MARK)


def without_tokens(text: str, tokens: Iterable[object] = ()) -> str:
    """Take tokens out of a text, and whatever is a token by its place in a URL."""
    for token in tokens:
        text = without_token(text, token)
    return _PARAMETER.sub(rf"\1{_MARK}", text) if "token=" in text else text
