"""The Typer application: its commands, in the order in which `--help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from clinder import __version__

app = typer.Typer(
    name="clinder",
    help="Keep one Binder session: launch it, look at it, stop it, as clinder.toml declares.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
hub = typer.Typer(help="Look at a hub, or serve one.", no_args_is_help=True, rich_markup_mode=None)
state = typer.Typer(help="Look at what is recorded, and mend it.", no_args_is_help=True, rich_markup_mode=None)


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


def _add_commands() -> None:
    from clinder.cli import down, env, init, logs, plan, run, start, status, stop, up
    from clinder.cli import hub as hub_commands
    from clinder.cli import open as open_command
    from clinder.cli import state as state_commands

    verbs = (
        init.init,
        run.run,
        plan.plan,
        up.up,
        status.status,
        down.down,
        env.env,
        open_command.open_session,
        logs.logs,
        start.start,
        stop.stop,
    )
    for verb in verbs:
        verb.add_to(app)
    for verb in (hub_commands.check, hub_commands.serve):
        verb.add_to(hub)
    for verb in (state_commands.show, state_commands.forget, state_commands.adopt):
        verb.add_to(state)
    app.add_typer(hub, name="hub")
    app.add_typer(state, name="state")


_add_commands()
