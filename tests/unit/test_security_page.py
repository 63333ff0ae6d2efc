"""The modules and tests that the security page names for each threat exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`((?:tests|hubs|cli|ci|output)?/?[\w/]+\.py)`")


def test_every_file_named_on_the_page_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 30
    for name in named:
        place = ROOT if name.startswith("tests/") else ROOT / "clinder"
        assert (place / name).is_file(), name


def test_every_threat_has_a_module_and_a_test() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    claims = [row for row in rows if not row.startswith(("| threat |", "| --- |"))]
    assert len(claims) > 15
    for claim in claims:
        held_by = claim.split(" | ")[2]
        assert "`tests/" in held_by, claim
        assert re.search(r"`(?!tests/)[\w/]+\.py`", held_by), claim


def test_github_finds_the_security_policy() -> None:
    policy = ROOT / ".github" / "SECURITY.md"
    assert "Report a vulnerability" in policy.read_text(encoding="utf-8")
    assert "/blob/main/.github/SECURITY.md)" in PAGE.read_text(encoding="utf-8")
