"""Reading of untrusted YAML files; aliases are limited, because they can expand a kilobyte to gigabytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import ComposerError

from clinder.model.display import show_text
from clinder.system.untrusted import UnreadableError, read_text, reason_of

if TYPE_CHECKING:
    from pathlib import Path

_MAX_VALUES = 50_000
"""With aliases expanded. The parser takes a second or two for this many."""
_MAX_SCALAR = 1000
"""The maximum length of a value other than a string: parsing a base-60 number takes quadratic time."""
_STRING = "tag:yaml.org,2002:str"


def read_yaml(path: Path) -> object:
    """Read a YAML file with a single document.

    Raises:
        UnreadableError: it cannot be read, is too large (with aliases expanded) or is not valid YAML.
    """
    text = read_text(path, "YAML")
    try:
        loader = _BoundedLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except Exception as error:
        reason = str(error) if isinstance(error, yaml.YAMLError) else reason_of(error)
        raise UnreadableError(f"is not valid YAML: {show_text(reason)}") from error


class _BoundedLoader(yaml.SafeLoader):
    """A YAML loader that rejects a document with too many values.

    An alias counts as many values as its target, because merging (`<<`) and any traversal repeat them.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[int, int] = {}
        self._composed = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next value, and count it with all values that it contains."""
        is_alias = self.check_event(yaml.AliasEvent)
        node: Any = super().compose_node(parent, index)
        if not is_alias:
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise ComposerError(None, None, "an alias is inside its own target", node.start_mark)
        self._composed += 1
        if max(self._composed, self._sizes[id(node)]) > _MAX_VALUES:
            raise ComposerError(
                None, None, f"it has more than {_MAX_VALUES} values, with aliases expanded", node.start_mark
            )
        return node

    def _size(self, node: Any) -> int:
        if isinstance(node, yaml.MappingNode):
            return 1 + sum(self._sizes[id(key)] + self._sizes[id(value)] for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return 1 + sum(self._sizes[id(item)] for item in node.value)
        if node.tag != _STRING and len(node.value) > _MAX_SCALAR:
            raise ComposerError(None, None, "a number, date or other value is too long", node.start_mark)
        return 1
