"""The Typer application and its commands, in the sections of `clinder --help`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from clinder import __version__
from clinder.cli.parsing import Group

_VERBS = {
    "init": "init.init",
    "plan": "plan.plan",
    "up": "up.up",
    "run": "run.run",
    "down": "down.down",
    "env": "env.env",
    "open": "open.open_session",
    "status": "status.status",
    "logs": "logs.logs",
    "start": "start.start",
    "stop": "stop.stop",
}
"""The module and function of each command in `clinder.cli`."""
_GROUPS = {
    "state": ("Inspect and repair the recorded state.", ("state.show", "state.forget", "state.adopt")),
    "hub": ("Check a hub, or serve the embedded hub.", ("hub.check", "hub.serve")),
}
_SECTIONS = {
    "Declare and run": ("init", "plan", "up", "run", "down"),
    "Use a session": ("env", "open"),
    "Inspect and repair": ("status", "logs", "state", "hub"),
    "Without files": ("start", "stop"),
}
"""The sections of `clinder --help`, in order."""


class _Commands(Mapping[str, Any]):
    """The commands by name, each made on first use: making all of them takes longer than running `status`."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            command = _make(_VERBS[name]) if name not in _GROUPS else _make_group(*_GROUPS[name])
            command.rich_help_panel = next(title for title, names in _SECTIONS.items() if name in names)
            self._made[name] = command
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return (name for names in _SECTIONS.values() for name in names)

    def __len__(self) -> int:
        return len(_VERBS) + len(_GROUPS)


def _make(verb: str) -> Any:
    return typer.main.get_command(_application(verb))


def _make_group(help_text: str, verbs: tuple[str, ...]) -> Any:
    return typer.main.get_command(_application(*verbs, help=help_text, no_args_is_help=True))


def _application(*verbs: str, **settings: Any) -> typer.Typer:
    application = typer.Typer(add_completion=False, rich_markup_mode=None, **settings)
    for verb in verbs:
        module, _, name = verb.partition(".")
        getattr(import_module(f"clinder.cli.{module}"), name).add_to(application)
    return application


class _Root(Group):
    """The root group of commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Commands()})


app = typer.Typer(
    name="clinder",
    cls=_Root,
    help="Run commands and notebooks in a Binder session that clinder.toml declares.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clinder {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Handle the options before the command."""
