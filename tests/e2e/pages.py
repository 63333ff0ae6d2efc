"""The README and the docs for the tests: their blocks, and the arguments of `clinder` in them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clinder.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
BIN = Path(sys.executable).parent
CLINDER = str(BIN / "clinder")
LIMIT_S = 120.0
_TERMINATOR = re.compile(r"[();<>|&]+")
_BEFORE_COMMAND = re.compile(rf"{_TERMINATOR.pattern}|if|then|else|do|!|[A-Z_]+=.*", re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the comment before it, its position, its text."""

    language: str
    comment: str
    place: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The shell lines of the block; only those after a prompt, if there are prompts."""
        lines = self.text.replace("\\\n", "").splitlines()
        if self.language == "console":
            return [line[2:] for line in lines if line.startswith("$ ")]
        return [line for line in lines if not line.lstrip().startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(r"(?:<!-- (.+?) -->\s*)?^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    blocks = []
    for found in pattern.finditer(text):
        comment, indent, language, body = found.groups()
        number = text.count("\n", 0, found.start(3)) + 1
        body = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        blocks.append(Block(language, comment or "", f"{name_of(page)}:{number}", body))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def invocations(line: str) -> Iterator[list[str]]:
    """Find the arguments of every `clinder` in a shell line, including those inside `$(…)` and quotes."""
    plain = line.replace('"$(', "$(").replace(')"', ")")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    tokens = list(lexer)
    for index, token in enumerate(tokens):
        if token.startswith("clinder "):
            yield from invocations(token)
        elif token == "clinder" and (index == 0 or _BEFORE_COMMAND.fullmatch(tokens[index - 1])):
            rest = tokens[index + 1 :]
            end = next((place for place, word in enumerate(rest) if _TERMINATOR.fullmatch(word)), len(rest))
            yield rest[:end]


def parse(arguments: list[str]) -> None:
    """Parse a command line without running it."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, f"{arguments}: no command"
        if rest[0].startswith("-"):
            assert rest[0] in {option for parameter in command.params for option in parameter.opts} | {"--help"}
            return
        assert rest[0] in command.commands, f"{arguments}: no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    command.make_context("clinder", rest)


def environment_variables(tmp_path: Path) -> dict[str, str]:
    """The environment of commands: a separate home and cache, with clinder and this Python first on PATH."""
    kept = {name: value for name, value in os.environ.items() if name in ("LANG", "TMPDIR", "PYTHONPATH")}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CLINDER_CACHE_DIR": str(tmp_path / "cache"),
        "NO_PROXY": "*",
    }


def down(folder: Path, env: dict[str, str]) -> None:
    subprocess.run([CLINDER, "down"], cwd=folder, env=env, capture_output=True, timeout=LIMIT_S, check=False)
