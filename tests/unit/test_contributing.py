"""The files and names that CONTRIBUTING mentions exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:clinder|tests|docs|\.ci|\.github|action)/[\w./-]*)`", PAGE)))


def rows() -> list[tuple[str, str]]:
    """Read the how-to tables: each file with each name that it must contain."""
    found, file = [], ""
    for where, what in re.findall(r"^\| (?:`([\w./-]+)`)? *\| (.+) \|$", PAGE, re.MULTILINE):
        file = where or file
        found += [(file, name) for name in re.findall(r"`(_?[A-Za-z]\w+)`", what) if file.endswith(".py")]
    return found


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="an unpacked source package has no CI files")
@pytest.mark.parametrize("path", PATHS)
def test_a_mentioned_file_exists(path: str) -> None:
    sources = path.replace("clinder/", "sources/", 1) if (ROOT / "sources").exists() else path
    assert (ROOT / sources).exists()


@pytest.mark.skipif(not (ROOT / "clinder").exists(), reason="the installed package is tested")
@pytest.mark.parametrize(("file", "name"), rows())
def test_a_mentioned_name_is_in_its_file(file: str, name: str) -> None:
    assert re.search(rf"\b{name}\b", (ROOT / file).read_text(encoding="utf-8"))


def test_the_tables_name_every_field_to_fill_in() -> None:
    assert {"PROVIDERS", "Provider", "Address", "Page", "specs", "open_hub", "_SETTERS", "_UNSETTERS", "_USES"} <= {
        name for _, name in rows()
    }
