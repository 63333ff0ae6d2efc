"""How arguments become values: as Typer does it, but for what needs no conversion.

Typer converts by pydantic, whose import takes longer than Typer's own and all of a launch; nearly every option here is
text or a flag, and text is what was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class _Conversion:
    """Takes paths, and what is of its parameter's type already; `thorough` makes Typer's conversion for the rest."""

    thorough: Callable[[], Any]
    kind: Any

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_single = param.nargs == 1 and not param.multiple
        if is_single and (value is None or (isinstance(self.kind, type) and isinstance(value, self.kind))):
            return value
        if is_single and self.kind is Path and isinstance(value, str):
            if not value:  # an unset variable, most often: it would stand for the current folder
                raise typer.BadParameter("a path is expected, not an empty text", ctx=ctx, param=param)
            return Path(value)
        return self.thorough().coerce(value, param=param, ctx=ctx)


def _spare_conversions(command: Any, ctx: Any) -> None:
    for parameter in command.get_params(ctx):
        thorough = getattr(parameter, "get_runtime_param", None)  # not in Typer's documentation: it may go one day
        if thorough and not isinstance(thorough, partial):
            parameter.get_runtime_param = partial(_Conversion, thorough, parameter.type_descriptor.annotation)


class Command(TyperCommand):
    """A command that converts only what must be converted."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        _spare_conversions(self, ctx)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """A group of commands that converts only what must be converted."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments before the command's name."""
        _spare_conversions(self, ctx)
        return super().parse_args(ctx, args)
