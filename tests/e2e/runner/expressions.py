"""Workflow expressions, `${{ … }}`, as far as this repository's workflows and examples use them.

Based on docs.github.com, "Evaluate expressions in workflows and actions". Unknown syntax is an error.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.*-]*)|(?P<sign>&&|\|\||==|!=|[!(),]))"
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": lambda within, what: what in (within or ()),
    "format": lambda pattern, *values: pattern.format(*values),
    "fromJSON": json.loads,
    "startsWith": lambda text, prefix: _text(text).lower().startswith(_text(prefix).lower()),
}
_WORDS = {"true": True, "false": False, "null": None}


def fill(value: Any, context: Mapping[str, Any]) -> Any:
    """Evaluate the expressions of a value; if the whole value is one expression, the result keeps its type."""
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(r"\$\{\{((?:(?!\}\}).)*)\}\}", value.strip(), re.DOTALL)
    if whole:
        return evaluate(whole[1], context)
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _text(evaluate(found[1], context)), value, flags=re.DOTALL)


def fill_all(values: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate the expressions of every value."""
    return {name: fill(value, context) for name, value in values.items()}


def fill_text(value: Any, context: Mapping[str, Any]) -> str:
    """Evaluate the expressions, and format the result like a variable or an input."""
    return _text(fill(value, context))


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """The value of an expression; names that are missing in the context are null."""
    tokens = []
    place, text = 0, expression.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        assert found, f"not understood: {text[place:]!r}"
        tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        place = found.end()
    reader = _Reader(tokens, context)
    value = reader.either()
    assert not reader.tokens, f"not understood: {expression!r}"
    return value


class _Reader:
    """Reads tokens from the loosest binding operator to the tightest."""

    def __init__(self, tokens: list[tuple[str, str]], context: Mapping[str, Any]) -> None:
        self.tokens = tokens
        self._context = context

    def _takes(self, *signs: str) -> str:
        return self.tokens.pop(0)[1] if self.tokens and self.tokens[0][1] in signs else ""

    def either(self) -> Any:
        value = self._both()
        while self._takes("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._equality()
        while self._takes("&&"):
            other = self._equality()
            value = value and other
        return value

    def _equality(self) -> Any:
        value = self._operand()
        while sign := self._takes("==", "!="):
            other = self._operand()
            value = (_text(value).lower() == _text(other).lower()) == (sign == "==")
        return value

    def _operand(self) -> Any:
        if self._takes("!"):
            return not self._operand()
        if self._takes("("):
            value = self.either()
            assert self._takes(")")
            return value
        kind, token = self.tokens.pop(0)
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return json.loads(token)
        assert kind == "name", token
        if self._takes("("):
            return self._call(token)
        return _WORDS[token] if token in _WORDS else _find(self._context, token)

    def _call(self, name: str) -> Any:
        arguments = []
        while not self._takes(")"):
            arguments.append(self.either())
            self._takes(",")
        states = {"always": True, "cancelled": False, "success": not self._context["failed"]}
        states["failure"] = self._context["failed"]
        return states[name] if name in states else _FUNCTIONS[name](*arguments)


def _find(context: Mapping[str, Any], path: str) -> Any:
    value: Any = context
    for part in path.split("."):
        value = value.get(part) if hasattr(value, "get") else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
