"""Writes the JSON schema and the reference pages from the code: `python docs/generate.py`.

`tests/unit/test_reference.py` fails when a page lags.
"""

from __future__ import annotations

import inspect
import json
import re
import runpy
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict
from urllib.parse import quote

import typer

import clinder
from clinder.cli.app import app
from clinder.cli.plan import CHANGES_STATUS
from clinder.cli.status import DRIFT_STATUS
from clinder.config.schema import config_schema, written
from clinder.config.settings import Settings, option_name, setting_keys, variable_name
from clinder.model import errors, events
from clinder.model.errors import ClinderError
from clinder.model.providers import FALLBACK, PROVIDERS, SHORTHAND, Provider
from clinder.model.web_pages import ANY_HOST
from clinder.output import formats
from clinder.output.result import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCS = Path(__file__).parent

VARIABLES = {
    "CLINDER_CONFIG": "The `clinder.toml` to read, as `--config`.",
    "CLINDER_STATE_DIR": "The folder of the state, as `--state-dir`.",
    "CLINDER_LOCK_TIMEOUT": "How long to wait for the lock, as `--lock-timeout`.",
    "CLINDER_CACHE_DIR": "Where the embedded hub keeps repositories, environments and sessions.",
    "CLINDER_BUILD_TOKEN": "The build token of a hub that asks for one. A secret, so neither an option nor a key.",
    "CLINDER_SESSION": "The session that `stop` and `state adopt` take where no URI is given. A secret.",
}
_GENERATED = "<!-- Written by docs/generate.py from the code: change it there. -->\n"
_SHARED = {
    "as_json": "`--json`",
    "quiet": "`-q`",
    "verbose": "`-v`",
    "config_file": "`--config`",
    "state_dir": "`--state-dir`",
    "lock_timeout": "`--lock-timeout`",
}
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_TYPES = {"string": "text", "integer": "whole number", "number": "number"}
_MEANINGS = {
    0: "done",
    1: "a fault of clinder's own",
    2: "usage, or a fault in `clinder.toml`",
    3: "refused: token, banned, not allowed",
    4: "locked by another clinder",
    5: "the build or the launch failed",
    6: "no running session",
    7: "timed out",
    8: "hub or session unreachable, hub unwell, or its rate limit is reached",
    9: "state unreadable or unwritable",
    CHANGES_STATUS: "`plan --exit-code` found changes",
}
assert DRIFT_STATUS == CHANGES_STATUS
_MEANINGS[DRIFT_STATUS] += "; `status --exit-code` found drift"


def pages() -> dict[Path, str]:
    """Make every generated file: by its path, its content."""
    return {
        DOCS / "clinder.schema.json": json.dumps(config_schema(), indent=2) + "\n",
        DOCS / "output.schema.json": json.dumps(output_schema(), indent=2) + "\n",
        DOCS / "reference" / "commands.md": _commands(),
        DOCS / "reference" / "configuration.md": _configuration(),
        DOCS / "reference" / "exit-statuses.md": _exit_statuses(),
        DOCS / "reference" / "providers.md": _providers(),
        DOCS / "reference" / "python.md": _python(),
        **runpy.run_path(str(DOCS / "code_map.py"))["files"](),
    }


def output_schema() -> dict[str, Any]:
    """Make the JSON schema of what `--json` prints: a definition for each command, and one for a failure."""
    definitions: dict[str, Any] = {}
    for command, form in {**formats.DOCUMENTS, "failure": formats.FailureDocument}.items():
        document = _form(form)
        document["properties"] = {"format_version": {"const": FORMAT_VERSION}, **document["properties"]}
        document["required"] = ["format_version", *document["required"]]
        definitions[command] = document
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{clinder.HOME_PAGE}/raw/main/docs/output.schema.json",
        "title": "What clinder prints with --json",
        "description": "Keys are only ever added: a later clinder may print more than this.",
        "anyOf": [{"$ref": f"#/$defs/{quote(name)}"} for name in definitions],
        "$defs": definitions,
    }


def _form(kind: Any) -> dict[str, Any]:
    """Write a type of `clinder.output.formats` as JSON schema."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        types = get_type_hints(kind)
        properties = {name: _form(item) for name, item in types.items()}
        required = [name for name in types if name in kind.__required_keys__]
        return {"description": _said(kind), "type": "object", "properties": properties, "required": required}
    if origin is UnionType:
        return {"anyOf": [_form(argument) for argument in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _form(arguments[0])}
    if origin is dict:
        return {"type": "object"}
    if origin is NotRequired:
        return _form(arguments[0])
    return {"type": _JSON_TYPES[kind]}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"

    names = list(head)
    return line(names) + line("---" for _ in names) + "".join(map(line, rows))


def _commands() -> str:
    root: Any = typer.main.get_command(app)
    parts = [
        "# Commands\n",
        _GENERATED,
        "`clinder --help` and `clinder COMMAND --help` say the same. Progress, messages and errors go to stderr; "
        "stdout carries results alone.\n",
        "## Options before any command\n",
        _parameters(root.params),
    ]
    for name, command in _leaves(root, ()):
        parts += _command(name, command)
    parts += ["## Options that several commands share\n", _shared_parameters(root), _settings_note()]
    return "\n".join(parts)


def _leaves(group: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*names, name))
        else:
            yield " ".join((*names, name)), command


def _command(name: str, command: Any) -> list[str]:
    names = {parameter.name for parameter in command.params}
    settings = [key for key in setting_keys() if key.replace(".", "_") in names and name != "init"]
    not_own = {*_SHARED, *(key.replace(".", "_") for key in settings)}
    own = [parameter for parameter in command.params if parameter.name not in not_own]
    arguments = "".join(f" {_argument(parameter)}" for parameter in own if _is_argument(parameter))
    parts = [f"## clinder {name}\n", f"`clinder {name} [OPTIONS]{arguments}`\n", command.help + "\n"]
    if own:
        parts.append(_parameters(own))
    shared = [_SHARED[parameter.name] for parameter in command.params if parameter.name in _SHARED]
    if shared:
        parts.append(f"[Shared](#options-that-several-commands-share): {', '.join(shared)}.\n")
    if settings:
        parts.append(f"[Settings](#an-option-for-each-key): {_settings(settings)}.\n")
    return parts


def _settings(keys: list[str]) -> str:
    others = [key for key in setting_keys() if key not in keys]
    if len(others) > len(keys):
        return ", ".join(f"`{option_name(key)}`" for key in keys)
    but = f" but {', '.join(f'`{key}`' for key in others)}" if others else ""
    return f"an option for each key of `clinder.toml`{but}"


def _is_argument(parameter: Any) -> bool:
    return not parameter.opts[0].startswith("-")


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).strip("[]")
    return name if parameter.required else f"[{name}]"


def _parameters(parameters: Iterable[Any]) -> str:
    return _table(
        ("option", "default", "what it does"),
        ((_usage(parameter), _default(parameter), parameter.help or "") for parameter in parameters),
    )


def _usage(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{_argument(parameter)}`"
    names = [f"`{name}`" for name in sorted(parameter.opts, key=len)]
    if not parameter.is_flag:
        names[-1] = f"{names[-1][:-1]} {_metavar(parameter)}`"
    return ", ".join(names)


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    if members := getattr(kind, "__members__", None):
        return "|".join(str(member.value) for member in members.values())
    return "NUMBER" if kind is int else "TEXT"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or value is False or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _shared_parameters(root: Any) -> str:
    found: dict[str, Any] = {}
    for _, command in _leaves(root, ()):
        found |= {parameter.name: parameter for parameter in command.params if parameter.name in _SHARED}
    return _parameters(found[name] for name in _SHARED)


def _settings_note() -> str:
    options = ", ".join(f"`{option_name(key)}`" for key in setting_keys())
    return (
        "### An option for each key\n\n"
        f"{options}: each wins over its variable and over the file. What they mean and their defaults: "
        "[configuration](configuration.md).\n"
    )


def _configuration() -> str:
    schema = config_schema()["properties"]
    rows = []
    for key in setting_keys():
        table, _, name = key.rpartition(".")
        facts = schema[table]["properties"][name] if table else schema[name]
        default = facts["default"]
        rows.append(
            (
                f"`{key}`",
                _kind(facts),
                f"`{json.dumps(default)}`" if default != "" else "none",
                f"`{option_name(key)}`",
                f"`{variable_name(key)}`",
                facts["description"],
            )
        )
    return "\n".join(
        [
            "# Keys, options and variables\n",
            _GENERATED,
            "A value is taken from its option, else its variable, else `clinder.toml`, else the default. "
            "How it all goes together: [configuration](../configuration.md).\n",
            "## Keys of clinder.toml\n",
            _table(("key", "type", "default", "option", "variable", "meaning"), rows),
            "## Other variables\n",
            _table(("variable", "meaning"), ((f"`{name}`", meaning) for name, meaning in VARIABLES.items())),
        ]
    )


def _kind(facts: dict[str, Any]) -> str:
    if "type" in facts:
        limits = f" ({facts['minimum']} to {facts['maximum']})" if "maximum" in facts else ""
        return _TYPES[facts["type"]] + limits
    return "time" if facts["anyOf"][0].get("pattern") else "text, or a list of texts"


def written_settings() -> dict[str, object]:
    """Name every setting with its default, as `clinder.toml` has it."""
    values = {}
    for key in setting_keys():
        value: Any = Settings()
        for name in key.split("."):
            value = getattr(value, name)
        values[key] = written(value)
    return values


def _exit_statuses() -> str:
    kinds: list[type[ClinderError]] = [
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, ClinderError) and "kind" in vars(member)
    ]
    kinds.sort(key=lambda member: (member.kind == "interrupted", member.exit_status, member.kind))
    own = {member.exit_status: _first_sentence(member) for member in kinds if member.exit_status > max(_MEANINGS)}
    assert {member.exit_status for member in kinds} <= _MEANINGS.keys() | own.keys(), "a status without a meaning"
    statuses = [(f"{status}", meaning) for status, meaning in {**_MEANINGS, **own}.items()]
    statuses.append(("129, 130, 143", "ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM: 128 and the signal's number"))
    return "\n".join(
        [
            "# Exit statuses and kinds of errors\n",
            _GENERATED,
            "What to make of them: [exit statuses](../exit-statuses.md).\n",
            "## Statuses\n",
            _table(("status", "meaning"), statuses),
            "## Kinds\n",
            "`kind` stands in the JSON of a command that fails ([JSON](../json.md)).\n",
            _table(("kind", "status", "tried again", "when"), (_error_row(kind) for kind in kinds)),
        ]
    )


def _error_row(kind: type[ClinderError]) -> tuple[str, ...]:
    status = "128 and the signal" if kind.kind == "interrupted" else str(kind.exit_status)
    when = "A fault of clinder itself." if kind is ClinderError else _first_sentence(kind)
    retried = [kind, *kind.__subclasses__()] if kind.kind == "launch-failed" else [kind]
    again = {member.retryable for member in retried}
    return f"`{kind.kind}`", status, {1: "yes" if kind.retryable else "no", 2: "where it may help"}[len(again)], when


def _providers() -> str:
    head = ("provider", "name", "repository", "ref", "without a prefix", "embedded hub")
    return "\n".join(
        [
            "# Providers\n",
            _GENERATED,
            "A provider is where a hub gets repositories from. In `repo` it is the prefix, as in `gh:org/name`; the "
            "table shows when it can be left out. See also: "
            "[repositories and links](../configuration.md#repositories-and-links).\n",
            _table(head, map(_provider_row, PROVIDERS.values())),
            "A hub has some or all of these; `clinder hub check` lists them.\n",
        ]
    )


def _provider_row(provider: Provider) -> tuple[str, ...]:
    recognized = [f"`{provider.example}`"] if provider is SHORTHAND else []
    recognized += [f"pages on `{host}`" for host in provider.pages if host != ANY_HOST]
    recognized += ["DOIs"] if provider.dois else []
    recognized += ["any other URL"] if provider is FALLBACK else []
    ref, embedded = ("yes" if each else "no" for each in (provider.takes_ref, provider.clone_url))
    return f"`{provider.id}`", provider.name, provider.example, ref, ", ".join(recognized) or "no", embedded


def _python() -> str:
    notices = [(f"`{kind.__name__}`", _fields(kind), _said(kind)) for kind in get_args(events.Progress)]
    return "\n".join(
        [
            "# Python\n",
            _GENERATED,
            "How to use it: [from Python](../how-to/python.md). Their errors are in `clinder.model.errors`, and "
            "[by kind](exit-statuses.md#kinds).\n",
            *(_function(function) for function in (clinder.session, clinder.launch, clinder.stop)),
            f"## Session\n\n`clinder.Session`. {_described(clinder.Session)}",
            f"- `uri`: {_said(clinder.Session.uri)}\n",
            "## Events\n",
            "`on_event` is called with an `Event` for everything the hub sends and with a `Progress` for what clinder "
            "does (`clinder.model.events`).\n",
            f"### Event\n\n{_described(events.Event)}\n",
            f"`Phase` is one of {', '.join(f'`{phase.name}`' for phase in events.Phase)}.\n",
            "### Notices\n",
            _table(("notice", "fields", "when"), notices),
        ]
    )


def _function(function: Any) -> str:
    signature = inspect.signature(inspect.unwrap(function))
    arguments = [_parameter(parameter) for parameter in signature.parameters.values()]
    if any(parameter.kind is parameter.KEYWORD_ONLY for parameter in signature.parameters.values()):
        first = [parameter.kind is parameter.KEYWORD_ONLY for parameter in signature.parameters.values()].index(True)
        arguments.insert(first, "*")
    name, returned = function.__name__, signature.return_annotation
    if returned.startswith("Iterator"):
        returned = "AbstractContextManager[Session]"
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"## {name}\n\n```text\nclinder.{name}(\n{lines}) -> {returned}\n```\n\n{_described(function)}\n"


def _parameter(parameter: inspect.Parameter) -> str:
    default = parameter.default
    shown = getattr(default, "__name__", None) or repr(default)
    return f"{parameter.name}: {parameter.annotation}" + ("" if default is parameter.empty else f" = {shown}")


def _described(thing: Any) -> str:
    """Write a docstring as Markdown: a list for each section of names (`Args`, `Attributes`, `Raises`)."""
    lines: list[str] = []
    for line in (inspect.getdoc(thing) or "").splitlines():
        if re.fullmatch(r"[A-Z]\w+:", line):
            lines += [f"**{line[:-1].replace('Args', 'Arguments')}**", ""]
        elif named := re.fullmatch(r"    ([A-Z]?\w+(?:, \w+)*): (.*)", line):
            lines.append(f"- `{named[1].replace(', ', '`, `')}`: {named[2]}")
        else:
            lines.append(re.sub(r"^ {8}", "  ", line) if line.startswith(" " * 8) else line.strip())
    return "\n".join(lines)


def _fields(kind: Any) -> str:
    return ", ".join(f"`{field.name}`" for field in fields(kind)) or "none"


def _said(kind: Any) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _first_sentence(kind: type[ClinderError]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def main() -> None:
    """Write every file that lags."""
    for path, content in pages().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(DOCS.parent)}")  # noqa: T201  # a script


if __name__ == "__main__":
    main()
