"""The files through which a step sets variables, outputs and state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_values(path: Path) -> dict[str, str]:
    """Read `NAME=value` and `NAME<<BORDER`, lines, `BORDER`; anything else is an error, as on a runner."""
    values: dict[str, str] = {}
    lines = iter(path.read_text(encoding="utf-8").split("\n"))
    for line in lines:
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, _, values[line[:equals]] = line.partition("=")
            assert name, line
        else:
            assert heredoc > 0, f"invalid format: {line!r}"
            name, border = line[:heredoc], line[heredoc + 2 :]
            assert border, line
            inner: list[str] = []
            for following in lines:
                if following == border:
                    break
                inner.append(following)
            else:
                raise AssertionError(f"{name}: {border} is missing")
            values[name] = "\n".join(inner)
    return values
