"""The timeline of a launch: a bar for each phase, with the median of earlier launches."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinder.model.duration import format_duration
from clinder.output.clean import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clinder.output.launches import PastLaunch

_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEADING = 80
"""The longest heading that fits the picture, in characters; `<title>` contains the whole one."""
_NAME_PX, _BAR_PX, _ROW_PX, _TIMES_PX = 90, 420, 26, 190


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase: its start and duration in seconds, and the median duration of earlier launches, if any."""

    phase: str
    began_s: float
    seconds: float
    median_s: float | None

    @property
    def times(self) -> str:
        """The duration and the median as text."""
        median = "" if self.median_s is None else f" (median {format_duration(self.median_s)})"
        return format_duration(self.seconds) + median


def bars(launch: PastLaunch, medians: Mapping[str, float]) -> list[Bar]:
    """Lay the phases of a launch end to end."""
    began_s, laid = 0.0, []
    for phase, seconds in launch.phases:
        laid.append(Bar(phase, began_s, seconds, medians.get(phase)))
        began_s += seconds
    return laid


def _total_s(laid: list[Bar]) -> float:
    return max(sum(bar.seconds for bar in laid), 0.001)


def timeline_text(launch: PastLaunch, medians: Mapping[str, float]) -> str:
    """Draw the timeline with block characters."""
    laid = bars(launch, medians)
    scale = _WIDTH / _total_s(laid)
    rows = [f"{bar.phase:<10} {_blocks(bar.began_s * scale, bar.seconds * scale)} {bar.times}" for bar in laid]
    total = f"{'total':<10} {' ' * _WIDTH} {format_duration(_total_s(laid) if laid else 0)}"
    title = f"{_title(launch)}: {launch.outcome or 'in progress'}"
    return "\n".join([title, *rows, total])


def _title(launch: PastLaunch) -> str:
    return clean_line(f"{launch.spec or launch.name} on {launch.hub or 'a hub'}")


def _blocks(start: float, length: float) -> str:
    """Draw a bar whose end is exact to an eighth of a character, and which is at least that long."""
    first = min(int(start), _WIDTH - 1)
    eighths = max(round((start - first + length) * 8), 1)
    whole, rest = divmod(min(eighths, (_WIDTH - first) * 8), 8)
    drawn = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return f"{' ' * first}{drawn}".ljust(_WIDTH)


def timeline_svg(launch: PastLaunch, medians: Mapping[str, float]) -> str:
    """Draw the timeline as a self-contained SVG picture for light and dark pages."""
    laid = bars(launch, medians)
    scale = _BAR_PX / _total_s(laid)
    width, height = _NAME_PX + _BAR_PX + _TIMES_PX, _ROW_PX * (len(laid) + 1) + 10
    title = _title(launch)
    heading = html.escape(title if len(title) <= _HEADING else f"{title[: _HEADING - 1]}…")
    title = html.escape(title)
    rows = []
    for number, bar in enumerate(laid, 1):
        middle = number * _ROW_PX + _ROW_PX // 2
        left, length = _NAME_PX + bar.began_s * scale, max(bar.seconds * scale, 1.0)
        rows.append(f'<text x="0" y="{middle + 4}">{html.escape(bar.phase)}</text>')
        rows.append(f'<rect class="bar" x="{left:.1f}" y="{middle - 8}" width="{length:.1f}" height="16" rx="2"/>')
        if bar.median_s is not None:
            mark = min(left + bar.median_s * scale, _NAME_PX + _BAR_PX)
            rows.append(f'<line class="median" x1="{mark:.1f}" x2="{mark:.1f}" y1="{middle - 11}" y2="{middle + 11}"/>')
        rows.append(f'<text x="{_NAME_PX + _BAR_PX + 10}" y="{middle + 4}">{html.escape(bar.times)}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" width="{width}">',
            f"<title>{title}</title>",
            "<style>text{font:13px system-ui,sans-serif;fill:#24292f}.bar{fill:#e66581}"
            ".median{stroke:#24292f;stroke-width:2}"
            "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.median{stroke:#e6edf3}}</style>",
            f'<text x="0" y="17" font-weight="bold">{heading}</text>',
            *rows,
            "</svg>",
            "",
        ]
    )
