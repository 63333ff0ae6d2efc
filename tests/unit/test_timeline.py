"""The timeline of a launch, as text and as a picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from clinder.model.repository import RepositorySpec
from clinder.output.launches import PastLaunch, medians
from clinder.output.timeline import bars, timeline_svg, timeline_text
from clinder.system.folders import PrivateFolder


def launched(name: str, *phases: tuple[str, float], repo: str = "org/name", outcome: str = "succeeded") -> PastLaunch:
    spec = RepositorySpec("gh", repo, "main")
    return PastLaunch(name, PrivateFolder(Path("logs")), "https://mybinder.org", spec, outcome, phases)


def test_bars_lie_end_to_end() -> None:
    laid = bars(launched("1", ("building", 3.0), ("launching", 1.0)), {"building": 2.0})
    assert [(bar.phase, bar.began_s, bar.seconds, bar.median_s) for bar in laid] == [
        ("building", 0.0, 3.0, 2.0),
        ("launching", 3.0, 1.0, None),
    ]
    drawn = timeline_text(launched("1", ("building", 3.0), ("launching", 1.0)), {"building": 2.0}).splitlines()
    assert drawn[1] == f"building   {'█' * 30}{' ' * 10} 3s (median 2s)"
    assert drawn[2] == f"launching  {' ' * 30}{'█' * 10} 1s"


def test_medians_are_of_earlier_successful_launches_of_the_same_repository() -> None:
    alike = [launched(str(number), ("building", seconds)) for number, seconds in enumerate((10.0, 20.0, 90.0))]
    others = [
        launched("3", ("building", 1.0), repo="org/other"),
        launched("4", ("building", 1.0), outcome="build-failed"),
        launched("9", ("building", 1.0)),
    ]
    assert medians(launched("5", ("building", 5.0), ("new", 1.0)), [*alike, *others]) == {"building": 20.0}


@pytest.mark.parametrize("phases", [(), (("waiting", 0.0),), (("a<b>&", 0.0), ("b", 1e6)), (("x", 1e-9), ("y", 1e-9))])
def test_any_times_make_a_picture(phases: tuple[tuple[str, float], ...]) -> None:
    usual = dict.fromkeys([phase for phase, _ in phases], 1e9)
    root = ET.fromstring(timeline_svg(launched("1", *phases), usual))
    assert len(root.findall("{*}rect")) == len(phases)
    assert all(float(line.get("x1", "")) <= 510 for line in root.findall("{*}line"))
    assert timeline_text(launched("1", *phases), usual)


def test_a_long_title_is_only_cut_in_the_heading() -> None:
    root = ET.fromstring(timeline_svg(launched("1", repo=f"org/{'long-' * 30}name"), {}))
    shown, whole = root.findtext("{*}text") or "", root.findtext("{*}title") or ""
    assert shown.endswith("…")
    assert len(shown) <= 80
    assert whole.endswith("on https://mybinder.org")
