"""What a GitHub Actions runner does, as far as an action can tell: it starts `main` and `post`, and reads their output.

After the runner's source (github.com/actions/runner: `ActionCommandManager`, `ActionCommand`, `FileCommandManager`,
`NodeScriptActionHandler`, `ProcessInvoker`).
"""

from __future__ import annotations

from runner.job import Job, Ran, Step
from runner.output import Understood, understand

__all__ = ["Job", "Ran", "Step", "Understood", "understand"]
