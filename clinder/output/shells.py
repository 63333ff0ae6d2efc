"""Environment variables in the formats of shells and tools, quoted so that no value is executed."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING

from clinder.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Shell(StrEnum):
    """The output formats for environment variables."""

    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"
    DOTENV = "dotenv"
    JSON = "json"
    GITHUB = "github"


def set_variables(variables: Mapping[str, str], shell: Shell) -> str:
    """Write lines that set variables.

    Args:
        variables: the values by name; names are plain words, values may be anything.
        shell: the output format; `github` is that of the `GITHUB_ENV` file.

    Raises:
        UsageError: a value contains a line break, which the format cannot express.
    """
    if shell is Shell.JSON:
        return json.dumps(dict(variables), indent=2)
    for name, value in variables.items():
        if any(character in value for character in "\n\r\0"):
            raise UsageError(f"{name} contains a line break, which the format {shell.value} cannot express")
    return "\n".join(_SETTERS[shell](name, value) for name, value in variables.items())


def unset_variables(names: list[str], shell: Shell) -> str:
    """Write lines that unset variables; `github` and `dotenv` set them to an empty string, JSON to null."""
    if shell is Shell.JSON:
        return json.dumps(dict.fromkeys(names), indent=2)
    return "\n".join(_UNSETTERS[shell].format(name=name) for name in names)


def how_to(shell: Shell, command: str) -> str:
    """Describe how to use the output of `command`."""
    return _USES[shell].format(command=command)


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    # PowerShell also treats typographic quotes as quotes.
    for quote in "'\u2018\u2019\u201a\u201b":
        value = value.replace(quote, quote * 2)
    return f"'{value}'"


def _dotenv(value: str) -> str:
    """Quote with single quotes if possible: double quotes require four characters to be escaped."""
    if "'" not in value:
        return f"'{value}'"
    for character in '\\"$`':
        value = value.replace(character, f"\\{character}")
    return f'"{value}"'


_SETTERS: Mapping[Shell, Callable[[str, str], str]] = {
    Shell.SH: lambda name, value: f"export {name}={shlex.quote(value)}",
    Shell.FISH: lambda name, value: f"set -gx {name} {_fish(value)}",
    Shell.POWERSHELL: lambda name, value: f"$Env:{name} = {_powershell(value)}",
    Shell.DOTENV: lambda name, value: f"{name}={_dotenv(value)}",
    Shell.GITHUB: lambda name, value: f"{name}={value}",
}
_UNSETTERS = {
    Shell.SH: "unset {name}",
    Shell.FISH: "set -e {name}",
    Shell.POWERSHELL: "Remove-Item Env:{name} -ErrorAction SilentlyContinue",
    Shell.DOTENV: "{name}=",
    Shell.GITHUB: "{name}=",
}
_USES = {
    Shell.SH: 'Usage: eval "$({command})"',
    Shell.FISH: "Usage: {command} | source",
    Shell.POWERSHELL: "Usage: {command} | Out-String | Invoke-Expression",
    Shell.DOTENV: "Usage: {command} > .env",
    Shell.JSON: "",
    Shell.GITHUB: 'Usage: {command} >> "$GITHUB_ENV"',
}
