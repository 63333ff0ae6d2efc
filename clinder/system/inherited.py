"""The environment variables that child processes inherit: those that they need, named one by one.

The names stand in `inherited.json`, regular expressions by purpose, since the GitHub Action's JavaScript
(`action/environment.js`) reads them as well. Only the command of `clinder run` and git get the user's whole
environment, less what is clinder's own.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Purpose: TypeAlias = Literal["program", "network", "installer", "desktop", "action"]
"""What any program needs; to reach the network; where installers find packages; the browser; clinder in the action."""


@cache
def _names(*purposes: Purpose) -> re.Pattern[str]:
    by_purpose = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    # Windows does not tell cases apart, and proxies are named in either.
    return re.compile("|".join(name for purpose in purposes for name in by_purpose[purpose]), re.IGNORECASE)


def is_inherited(name: str, *purposes: Purpose) -> bool:
    """Whether a child that is started for these purposes gets this variable."""
    return _names(*purposes).fullmatch(name) is not None


def inherit(*purposes: Purpose, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make the environment of a child process that is started for these purposes.

    Args:
        purposes: which lists count.
        environment: what is inherited from; `os.environ` if left out.
    """
    base = os.environ if environment is None else environment
    return {name: value for name, value in base.items() if is_inherited(name, *purposes)}
