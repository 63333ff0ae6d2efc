"""The documentation site: its table of contents, the settings how-to, and the search for broken links."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from clinder.config.settings import TABLES, setting_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).parents[2] / "docs"
broken_links: Callable[[Path], list[str]] = runpy.run_path(str(DOCS / "build.py"))["broken_links"]


def pages_of(contents: list[dict[str, Any]]) -> Iterator[str]:
    for entry in contents:
        if "file" in entry:
            yield entry["file"]
        yield from pages_of(entry.get("children", []))


def test_the_contents_name_every_page_once() -> None:
    contents = yaml.safe_load((DOCS / "myst.yml").read_text(encoding="utf-8"))["project"]["toc"]
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if "_build" not in page.parts]
    assert sorted(pages_of(contents)) == sorted(pages)


def test_the_settings_how_to_has_a_section_for_each_setting_in_order() -> None:
    page = (DOCS / "how-to" / "settings.md").read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (\w+)$", page, re.MULTILINE)
    keys: list[str] = []
    for heading in headings:
        table = keys[-1].split(".")[0] if keys else ""
        keys.append(f"{table}.{heading}" if f"{table}.{heading}" in setting_keys() else heading)
    assert [key for key in keys if key not in TABLES] == list(setting_keys())


@pytest.mark.parametrize(
    ("target", "is_broken"),
    [
        ("other.html#part", False),
        ("#here", False),
        ("https://example.org/gone", False),
        ("picture.svg", False),
        ("other.html#gone", True),
        ("gone.html", True),
        ("#gone", True),
    ],
)
def test_a_broken_link_is_found(target: str, is_broken: bool, tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h1 id="part">Other</h1>')
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "index.html").write_text(f'<p id="here"><a href="{target}">There</a></p>')
    assert broken_links(tmp_path) == ([f"index.html: {target}"] if is_broken else [])


def test_a_missing_picture_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<img src="gone.svg">')
    assert broken_links(tmp_path) == ["index.html: gone.svg"]
