"""How a runner interprets the output of a step: commands, masks, groups, and the displayed log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

COMMANDS = (
    *("set-env", "set-output", "save-state", "add-mask", "add-path", "add-matcher", "remove-matcher"),
    *("debug", "notice", "warning", "error", "group", "endgroup", "echo", "stop-commands", "internal-set-repo-path"),
)


@dataclass(frozen=True)
class Command:
    """A workflow command, unescaped."""

    name: str
    properties: dict[str, str]
    data: str


@dataclass
class Understood:
    """The interpretation of an output.

    Attributes:
        commands: the executed commands, in order.
        masks: the values to hide from then on.
        groups: the lines of each group by title; a repeated title continues its group.
        shown: the log as it is displayed.
        open_group: the title of a group that was not closed.
        unread: the lines that were not searched for commands.
    """

    commands: list[Command] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    shown: str = ""
    open_group: str | None = None
    unread: list[str] = field(default_factory=list)

    def annotations(self, level: str = "error") -> list[Command]:
        return [command for command in self.commands if command.name == level]

    def hide(self, text: str) -> str:
        """Replace masked values with stars."""
        for secret in sorted(self.masks, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    @property
    def names(self) -> set[str]:
        return {command.name for command in self.commands}


def understand(output: str) -> Understood:
    """Interpret an output line by line like a runner, where a carriage return also ends a line."""
    found = Understood()
    word = ""
    for line in re.split(r"\r\n|\r|\n", output):
        command = parse(line, (*COMMANDS, word) if word else COMMANDS)
        if command is None or (word and command.name.lower() != word.lower()):
            _show(found, line)
            if word:
                found.unread.append(line)
        elif word:
            word = ""
        elif command.name == "stop-commands":
            word = command.data
        else:
            _carry_out(found, command)
    assert not word, "commands are still disabled at the end of the output"
    return found


def _carry_out(found: Understood, command: Command) -> None:
    found.commands.append(command)
    if command.name == "add-mask":
        found.masks += [part for part in re.split(r"[\r\n]+", command.data) if part]
    elif command.name == "group":
        found.open_group = command.data
        found.groups.setdefault(command.data, [])
    elif command.name == "endgroup":
        found.open_group = None
    else:
        _show(found, f"{command.name}: {command.data}")


def _show(found: Understood, line: str) -> None:
    line = found.hide(line)
    found.shown += f"{line}\n"
    if found.open_group is not None:
        found.groups[found.open_group].append(line)


def parse(line: str, registered: tuple[str, ...]) -> Command | None:
    """Parse `::name a=b,c=d::data` at the start of a line (after white space), or `##[name a=b;c=d]data` anywhere."""
    text = line.strip()
    if text.startswith("::") and (end := text.find("::", 2)) > 0:
        command = _command(text[2:end], text[end + 2 :], ",", registered)
        if command:
            return command
    start = line.find("##[")
    end = line.find("]", start) if start >= 0 else -1
    return _command(line[start + 3 : end], line[end + 1 :], ";", registered) if end > 0 else None


def _command(head: str, data: str, separator: str, registered: tuple[str, ...]) -> Command | None:
    name, _, rest = head.partition(" ")
    if name.lower() not in {known.lower() for known in registered}:
        return None
    pairs = (part.partition("=") for part in rest.strip().split(separator) if "=" in part)
    return Command(name, {key.strip(): _unescape(value, is_property=True) for key, _, value in pairs}, _unescape(data))


def _unescape(text: str, *, is_property: bool = False) -> str:
    text = text.replace("%0D", "\r").replace("%0A", "\n")
    if is_property:
        text = text.replace("%3A", ":").replace("%2C", ",")
    return text.replace("%25", "%")
