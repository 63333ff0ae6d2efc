"""One command records the pictures of the documentation from the program, and each is on a page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from filelock import FileLock
from tools import FOLDER

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
LIMIT_S = 800.0
SVG = "{http://www.w3.org/2000/svg}"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals"),
    pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="an unpacked source package has no CI files"),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newly recorded pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    FOLDER.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"CLINDER_VENV": str(FOLDER / "site")}
    with FileLock(FOLDER / "site.lock"):
        command = ["bash", str(ROOT / ".ci" / "pictures"), str(folder)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def words_of(picture: Path) -> str:
    return " ".join(" ".join(ET.parse(picture).getroot().itertext()).split())


def test_the_terminal_shows_phases_a_bar_and_the_last_log_lines(recorded: Path) -> None:
    words = words_of(recorded / "launching.svg")
    for shown in (
        "launching gh/ProjectPythia/radar-cookbook/main on http",
        "building",
        "pushing",
        "━",
        "Successfully tagged",
    ):
        assert shown in words
    assert "http:" not in re.sub(r"xmlns=\S+|http://127\S+", "", (recorded / "launching.svg").read_text("utf-8"))


def test_the_timeline_has_a_bar_and_a_median_for_each_phase(recorded: Path) -> None:
    drawn = ET.parse(recorded / "timeline.svg")
    assert len(drawn.findall(f"{SVG}rect")) == len(drawn.findall(f"{SVG}line")) == 7


def test_the_summary_is_a_picture_of_reasonable_size(recorded: Path) -> None:
    data = (recorded / "summary.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[begin : begin + 4], "big") for begin in (16, 20))
    assert width > 1000
    assert height > 600


def test_the_life_of_a_session_names_every_state(recorded: Path) -> None:
    words = words_of(recorded / "life.svg")
    for state in ("launching", "verifying", "running", "stopping"):
        assert state in words


def test_the_recorded_pictures_are_exactly_those_of_the_pages(recorded: Path) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {
        name for page in pages for name in re.findall(r"pictures/([\w-]+\.(?:svg|png))\)", page.read_text("utf-8"))
    }
    drawn_elsewhere = {"code-map.svg", "performance.svg"}  # by docs/generate.py, and by the benchmarks
    assert shown - drawn_elsewhere == {picture.name for picture in recorded.iterdir()}
    assert {picture.name for picture in PICTURES.iterdir()} == shown | {"life.mmd"}
