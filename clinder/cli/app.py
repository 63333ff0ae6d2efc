"""The Typer application: its commands, in the order in which `--help` lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from clinder import __version__
from clinder.cli.parsing import Group

_VERBS = {
    "init": "init.init",
    "run": "run.run",
    "plan": "plan.plan",
    "up": "up.up",
    "status": "status.status",
    "down": "down.down",
    "env": "env.env",
    "open": "open.open_session",
    "logs": "logs.logs",
    "start": "start.start",
    "stop": "stop.stop",
}
"""Where in `clinder.cli` each verb is."""
_GROUPS = {
    "hub": ("Look at a hub, or serve one.", ("hub.check", "hub.serve")),
    "state": ("Look at what is recorded, and mend it.", ("state.show", "state.forget", "state.adopt")),
}


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is asked for: to make them all takes longer than `status` does."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(_VERBS[name]) if name not in _GROUPS else _make_group(*_GROUPS[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*_VERBS, *_GROUPS))

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
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Commands()})


app = typer.Typer(
    name="clinder",
    cls=_Root,
    help="Keep one Binder session: launch it, look at it, stop it, as clinder.toml declares.",
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
        bool, typer.Option("--version", help="Show the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that go before any command."""
