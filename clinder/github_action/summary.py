"""The summary on the page of a run: the launch, its timeline as a chart, and after a failure the end of its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinder.model.duration import format_duration
from clinder.model.errors import StateError
from clinder.model.session_sources import session_spec
from clinder.model.wording import bounded
from clinder.output.clean import clean, clean_value
from clinder.output.launches import read_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clinder.model.errors import ClinderError
    from clinder.model.session import Session
    from clinder.output.launches import PastLaunch

_LOG_LINES = 60
_MOST_OF_A_LINE = 400
_MOST_OF_AN_ERROR = 20_000
_SHORT = 12
_PLAIN_URL = re.compile(r"https?://[\w.~:/?#@!&=+%,;-]+")
_NOT_IN_CHART = re.compile(r"[^\w ./()-]+")


@dataclass(frozen=True)
class Report:
    """The content of the summary.

    Attributes:
        why: the origin of repository and ref, if known.
        launch: the launch, as recorded in its log; `None` if there was none.
        session: the session, if the launch succeeded.
        error: the error, if it failed.
    """

    why: str = ""
    launch: PastLaunch | None = None
    session: Session | None = None
    error: ClinderError | None = None


def summarize(report: Report) -> str:
    """Write the summary in GitHub's Markdown; text from a hub is escaped."""
    parts = [_title(report), _table(_facts(report))]
    if report.error:
        text = "\n\n".join(part for part in (report.error.message, report.error.hint) if part)
        parts.append(_fenced(bounded(text, _MOST_OF_AN_ERROR)))
    if report.launch and report.launch.phases:
        parts.append(_chart(report.launch.phases, has_failed=report.error is not None))
    if report.error and report.launch:
        parts.append(_log_end(report.launch))
    return "\n\n".join(part for part in parts if part) + "\n\n"


def _title(report: Report) -> str:
    if report.session is None:
        return "### clinder: no session"
    seconds = _seconds(report.launch)
    return f"### clinder: a session is up{f' after {format_duration(seconds)}' if seconds else ''}"


def _seconds(launch: PastLaunch | None) -> float:
    return sum(seconds for _, seconds in launch.phases) if launch else 0.0


def _facts(report: Report) -> list[tuple[str, str]]:
    session, launch = report.session, report.launch
    spec = session_spec(session) if session else launch.spec if launch else None
    hub = session.hub if session else launch.hub if launch else ""
    facts = [("hub", _link(hub, hub))]
    if spec:
        facts.append(("repository", _link(f"{spec.provider}/{spec.repo}", spec.web_url or "")))
        facts.append(("ref", _code(spec.ref)))
        if session:
            page = spec.commit_url(session.resolved_ref) or session.ref_url
            facts.append(("commit", _link(session.resolved_ref[:_SHORT], page)))
        elif hub:
            facts.append(("launch by hand", _link(f"{hub}/v2/{spec}", f"{hub}/v2/{spec.build_path}")))
    facts.append(("selected", _text(report.why)))
    if session:
        facts.append(("image", _code(session.image)))
    return facts


def _table(facts: Sequence[tuple[str, str]]) -> str:
    rows = [f"| {name} | {value} |" for name, value in facts if value]
    return "\n".join(["| | |", "| --- | --- |", *rows]) if rows else ""


def _text(text: str) -> str:
    """Escape text for Markdown and HTML."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~@&:-])", lambda found: f"&#{ord(found[0])};", clean_value(text))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>" if text else ""


def _link(text: str, url: str) -> str:
    """Make a link if the URL has no special characters; otherwise only the text."""
    return f"[{_text(text)}]({url})" if text and _PLAIN_URL.fullmatch(url) else _code(text)


def _fenced(text: str, language: str = "text") -> str:
    """Put text into a fenced code block; the fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{clean(text).rstrip(chr(10))}\n{fence}"


def _chart(phases: Sequence[tuple[str, float]], *, has_failed: bool) -> str:
    """Draw the phases as a Gantt chart in seconds."""
    lines = ["gantt", "  dateFormat x", "  axisFormat %s s", "  section launch"]
    began_ms = 0
    for number, (phase, seconds) in enumerate(phases, 1):
        length_ms = max(round(seconds * 1000), 1)
        mark = "crit, " if has_failed and number == len(phases) else ""
        name = _NOT_IN_CHART.sub(" ", f"{phase} {format_duration(seconds)}")
        lines.append(f"  {name} :{mark}{began_ms}, {length_ms}ms")
        began_ms += length_ms
    return _fenced("\n".join(lines), "mermaid")


def _log_end(launch: PastLaunch) -> str:
    try:
        lines = read_log(launch).splitlines()
    except StateError:
        return ""
    last = [line[:_MOST_OF_A_LINE] for line in lines[-_LOG_LINES:]]
    many = f"the last {len(last)} of {len(lines)} lines" if len(lines) > len(last) else f"{len(lines)} lines"
    return f"<details><summary>Launch log: {many}</summary>\n\n{_fenced(chr(10).join(last))}\n\n</details>"
