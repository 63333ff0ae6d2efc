"""`clinder init`."""

from __future__ import annotations

from typing import Annotated

import typer

from clinder.cli.command import Invocation, command
from clinder.config.discovery import discover
from clinder.config.scaffold import check_folder, write_config
from clinder.model.display import show_path, show_text
from clinder.model.paths import current_folder
from clinder.output.result import Result


@command("init", json=False, config=False, state=False)
def init(
    invocation: Invocation,
    hub: Annotated[str | None, typer.Option(metavar="TEXT", help="The hub to write down.")] = None,
    repo: Annotated[str | None, typer.Option(metavar="TEXT", help="The repository to write down.")] = None,
    ref: Annotated[str | None, typer.Option(metavar="TEXT", help="The ref to write down.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a clinder.toml that is there.")] = False,
) -> Result:
    """Write clinder.toml into this folder, from its git remote and branch, myst.yml, or an old book's _config.yml."""
    folder = current_folder()
    check_folder(folder)
    found = discover(folder, hub=hub, repo=repo, ref=ref)
    path = write_config(folder, found.values, force=force)
    taken = (f"{key} = {show_text(str(value.given))} ({value.source})" for key, value in found.values.items())
    return Result({}, text=show_path(path), messages=(*taken, *found.notes, "Next: commit it, then `clinder up`."))
