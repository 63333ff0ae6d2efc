"""The scripts in `browser/`, which lead a browser over pages: their command lines, and what they found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "browser"
LIMIT_S = 400.0
"""More than a script takes to give up and say why, which `page.mjs` limits."""


def browser_command(script: str, playwright: Path, chromium: str, folder: Path) -> list[str]:
    """Return the command that runs a script; the browser's files, and a screenshot of a failure, go into `folder`."""
    return ["node", str(SCRIPTS / script), str(playwright), chromium, str(folder)]


def findings(status: int, stdout: str, stderr: str) -> Any:
    """Return what an ended script found; if it failed, its explanation fails the test."""
    assert status == 0, f"the browser's script failed (exit status {status}):\n{stdout}{stderr}"
    return json.loads(stdout)
