"""Environment variables as shells and tools read them; no value can do anything but be a value."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING

from clinder.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Shell(StrEnum):
    """Who reads the variables."""

    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"
    DOTENV = "dotenv"
    JSON = "json"
    GITHUB = "github"


def set_variables(variables: Mapping[str, str], shell: Shell) -> str:
    """Write lines that set variables.

    Args:
        variables: names that are plain words, and any values.
        shell: who reads them; `github` is the file that `GITHUB_ENV` names.

    Raises:
        UsageError: a value holds a line break, which the format cannot carry.
    """
    if shell is Shell.JSON:
        return json.dumps(dict(variables), indent=2)
    for name, value in variables.items():
        if any(character in value for character in "\n\r\0"):
            raise UsageError(f"{name} holds a line break, so that it cannot be given to {shell.value}")
    return "\n".join(_SETTERS[shell](name, value) for name, value in variables.items())


def unset_variables(names: list[str], shell: Shell) -> str:
    """Write lines that unset variables; a `GITHUB_ENV` file knows only empty ones, JSON null."""
    if shell is Shell.JSON:
        return json.dumps(dict.fromkeys(names), indent=2)
    return "\n".join(_UNSETTERS[shell].format(name=name) for name in names)


def how_to(shell: Shell, command: str) -> str:
    """Say how the lines that `command` prints are used."""
    return _USES[shell].format(command=command)


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    # PowerShell takes typographic quotes for quotes, too.
    for quote in "'\u2018\u2019\u201a\u201b":
        value = value.replace(quote, quote * 2)
    return f"'{value}'"


def _dotenv(value: str) -> str:
    """Single quotes take everything literally but themselves; double quotes want four characters escaped."""
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
    Shell.SH: 'Use it so: eval "$({command})"',
    Shell.FISH: "Use it so: {command} | source",
    Shell.POWERSHELL: "Use it so: {command} | Out-String | Invoke-Expression",
    Shell.DOTENV: "Use it so: {command} > .env",
    Shell.JSON: "",
    Shell.GITHUB: 'Use it so: {command} >> "$GITHUB_ENV"',
}
