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
    hub: Annotated[str | None, typer.Option(metavar="TEXT", help="Hub to declare.")] = None,
    repo: Annotated[str | None, typer.Option(metavar="TEXT", help="Repository to declare.")] = None,
    ref: Annotated[str | None, typer.Option(metavar="TEXT", help="Ref to declare.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing clinder.toml.")] = False,
) -> Result:
    """Write a clinder.toml for the repository in this folder.

    The values come from the git remote and branch, myst.yml, or the _config.yml of an old Jupyter Book.
    """
    folder = current_folder()
    check_folder(folder)
    found = discover(folder, hub=hub, repo=repo, ref=ref)
    path = write_config(folder, found.values, force=force)
    settings = (f"{key} = {show_text(str(value.given))} ({value.source})" for key, value in found.values.items())
    return Result(
        {}, text=show_path(path), messages=(*settings, *found.notes, "Next: commit it, then run `clinder up`.")
    )
