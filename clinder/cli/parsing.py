"""Parse arguments as Typer does, but skip conversions that change nothing.

Typer converts with pydantic, whose import takes longer than importing Typer and running a command. Nearly every
option here is a string or a flag, which needs no conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class _Conversion:
    """A conversion that returns values of the right type unchanged; `thorough` is Typer's own, for all others."""

    thorough: Callable[[], Any]
    kind: Any

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_single = param.nargs == 1 and not param.multiple
        if is_single and (value is None or (isinstance(self.kind, type) and isinstance(value, self.kind))):
            return value
        return self.thorough().coerce(value, param=param, ctx=ctx)


_CONVERSION, _DESCRIPTOR = "get_runtime_param", "type_descriptor"
"""Undocumented attributes of Typer 0.29 with the conversion and type of a parameter; without them, Typer converts."""


def _skip_conversions(command: Any, ctx: Any) -> None:
    for parameter in command.get_params(ctx):
        thorough = getattr(parameter, _CONVERSION, None)
        kind = getattr(getattr(parameter, _DESCRIPTOR, None), "annotation", None)
        if thorough and kind and not isinstance(thorough, partial):
            setattr(parameter, _CONVERSION, partial(_Conversion, thorough, kind))


def _write_sections(formatter: Any, sections: Mapping[str, Sequence[Any]]) -> None:
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class Command(TyperCommand):
    """A command that skips needless conversions, and whose help lists its options in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the command's own options, and a section for each group of options."""
        sections: dict[str, list[Any]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:  # hidden
                continue
            own = "Arguments" if parameter.param_type_name == "argument" else "Options"
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or own, []).append(record)
        _write_sections(formatter, sections)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        _skip_conversions(self, ctx)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """A group of commands that skips needless conversions, and whose help lists its commands in groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with its one-line help, in a section for each group of commands."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            title = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(title, []).append((name, command.get_short_help_str(limit=formatter.width)))
        _write_sections(formatter, sections)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments before the command's name."""
        _skip_conversions(self, ctx)
        return super().parse_args(ctx, args)
