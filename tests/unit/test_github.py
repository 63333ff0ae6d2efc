"""The parts of the GitHub Action: workflow commands, inputs, events, progress and summary."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from clinder.config.settings import setting_keys
from clinder.github_action.commands import annotate, mask, print_message, set_outputs, set_variables, stopped
from clinder.github_action.event import read_source
from clinder.github_action.inputs import SETTINGS, read_inputs
from clinder.github_action.progress import ActionsProgress
from clinder.github_action.summary import Report, summarize
from clinder.model.errors import BuildError, UsageError
from clinder.model.events import Attempt, BatchEnd, Event, LayerProgress, Message, Phase, Retrying
from clinder.model.repository import RepositorySpec
from clinder.model.session import Session
from clinder.output.launches import PastLaunch
from clinder.system.folders import PrivateFolder

if TYPE_CHECKING:
    from pathlib import Path

SPEC = RepositorySpec("gh", "org/name", "main")


def test_an_annotation_is_always_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    annotate("error", "a: b, c", "100%\nline\r\n::error::x")
    assert capsys.readouterr().out == "::error title=a%3A b%2C c::100%25%0Aline%0A: :error::x\n"


def test_a_long_annotation_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    annotate("error", "x", "y" * 10_000)
    assert len(capsys.readouterr().out) < 3100


def test_a_secret_is_also_masked_as_encoded_in_urls(capsys: pytest.CaptureFixture[str]) -> None:
    mask("a/b%")
    assert capsys.readouterr().out == "::add-mask::a/b%25\n::add-mask::a%252Fb%2525\n"


def test_a_message_is_never_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    print_message("::error::x\n##[error]y")
    assert capsys.readouterr().out == ": :error::x\n## [error]y\n"


def test_the_token_that_resumes_commands_is_random() -> None:
    words = {re.match(r"::stop-commands::([0-9a-f]{32})\nx\n::\1::\n$", stopped("x\n"))[1] for _ in range(10)}  # type: ignore[index]
    assert len(words) == 10


def test_a_value_with_line_breaks_cannot_set_another_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "env"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    set_variables({"A": "x\nPATH=/evil\nB<<EOF"})
    set_outputs({"a": "1", "b": ""})
    first = (tmp_path / "env").read_text().splitlines()
    assert (first[0], first[-1]) == (f"A<<{first[-1]}", first[0].removeprefix("A<<"))
    assert first[1:-1] == ["x", "PATH=/evil", "B<<EOF"]
    assert len((tmp_path / "output").read_text().splitlines()) == 6


def test_every_setting_that_applies_to_a_job_has_an_input() -> None:
    left_out = {"retry.backoff", "retry.wait", "session.path"}
    assert set(SETTINGS.values()) == set(setting_keys()) - left_out


def test_missing_inputs_have_defaults(tmp_path: Path) -> None:
    inputs = read_inputs({"GITHUB_WORKSPACE": str(tmp_path), "INPUT_REPO": " ", "INPUT_KEEP-ALIVE": "True"})
    assert inputs.settings == {}
    assert (inputs.keeps_alive, inputs.has_summary, inputs.build_token) == (True, True, None)
    assert inputs.keep_alive_for == timedelta(hours=6)


def test_an_invalid_duration_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the input keep-alive-for: 'long' is not a duration"):
        read_inputs({"GITHUB_WORKSPACE": str(tmp_path), "INPUT_KEEP-ALIVE-FOR": "long"})


def read(tmp_path: Path, name: str, payload: object, **variables: str) -> str:
    path = tmp_path / "event.json"
    path.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    environment = {f"GITHUB_{key}": value for key, value in variables.items()}
    source = read_source({"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path), **environment})
    return f"{source.repo}/{source.ref}"


@pytest.mark.parametrize("payload", ["", "[]", "{", "null", {"head_commit": "x", "pull_request": []}], ids=str)
def test_an_unreadable_payload_falls_back_to_the_variables(tmp_path: Path, payload: object) -> None:
    commit = "a" * 40
    assert read(tmp_path, "push", payload, REPOSITORY="org/name", SHA=commit) == f"org/name/{commit}"


def test_a_commit_of_zeros_is_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, "push", {"deleted": True}, REPOSITORY="org/name", SHA="0" * 40) == "org/name/HEAD"


@pytest.mark.parametrize("repository", ["", "org", "org/name/x", "org/na me", "org/name\n"])
def test_an_invalid_repository_name_is_refused(tmp_path: Path, repository: str) -> None:
    with pytest.raises(UsageError, match="does not name the repository"):
        read(tmp_path, "schedule", {}, REPOSITORY=repository, SHA="a" * 40)


def test_a_deleted_repository_of_a_workflow_run_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the workflow 'tests' ran for was deleted"):
        read(tmp_path, "workflow_run", {"workflow_run": {"name": "tests", "head_repository": None}})


def test_progress_has_one_group_after_another(capsys: pytest.CaptureFixture[str]) -> None:
    on_event = ActionsProgress()
    on_event(Attempt("https://hub.example.org", SPEC, 1, 2))
    on_event(Event(Phase.BUILDING, "one\n"))
    on_event(BatchEnd())
    on_event(Event(None, "two\n"))
    on_event(Event(Phase.BUILDING, "50%\r"))
    on_event(Event(Phase.PUSHING, "", progress={"a": LayerProgress(1, 2), "b": LayerProgress(2, 2)}))
    on_event(Event(Phase.PUSHING, "", progress={"a": LayerProgress(1, 2), "b": LayerProgress(2, 2)}))
    on_event(Retrying("cut", "https://hub.example.org", 1.0))
    on_event(Message("mind this", warning=True))
    on_event.close()
    printed = re.sub(r"::(stop-commands::)?[0-9a-f]{32}(::)?\n", "", capsys.readouterr().out)
    assert printed.splitlines() == [
        "launching gh/org/name/main on https://hub.example.org",
        "::group::building",
        "one",
        "two",
        "::endgroup::",
        "::group::pushing",
        "1 of 2 layers pushed",
        "::endgroup::",
        "failed: cut; retrying on https://hub.example.org in 1s",
        "::warning title=clinder::mind this",
    ]


def test_a_verbose_build_is_printed_before_the_hub_pauses(capsys: pytest.CaptureFixture[str]) -> None:
    on_event = ActionsProgress()
    for _ in range(600):
        on_event(Event(Phase.BUILDING, "line\n"))
    assert capsys.readouterr().out.count("line\n") == 512


def past(tmp_path: Path, log: str, *phases: tuple[str, float]) -> PastLaunch:
    (tmp_path / "x.log").write_text(log)
    return PastLaunch("x", PrivateFolder(tmp_path), "https://hub.example.org", SPEC, "build-failed", phases)


def test_untrusted_text_is_escaped_in_the_summary(tmp_path: Path) -> None:
    words = "```\n</details><img src=x>\n# title\n[x](javascript:y) @org/team"
    error = BuildError(words)
    page = summarize(Report("[x](y) <b> | @a", past(tmp_path, words, ("building", 90.0)), None, error))
    outside = re.sub(r"^(````+)text\n.*?^\1$", "", page, flags=re.MULTILINE | re.DOTALL)
    assert words not in outside
    assert "<img" not in outside
    assert "<b>" not in outside
    assert "| selected | &#91;x&#93;&#40;y&#41; &#60;b&#62; &#124; &#64;a |" in outside
    assert "building 1m30s :crit, 0, 90000ms" in outside


def test_a_url_with_special_characters_is_not_linked() -> None:
    session = Session(
        url="https://h.example.org/x/",
        token="t",
        hub="https://hub.example.org",
        provider="git",
        repo="https://git.example.org/x",
        ref="main",
        resolved_ref="abc",
        ref_url="javascript:alert(1)",
    )
    page = summarize(Report(session=session))
    assert "| commit | <code>abc</code> |" in page
    assert "javascript" not in page


@pytest.mark.parametrize(
    ("provider", "repo", "page", "commit_page"),
    [
        ("gh", "org/name", "https://github.com/org/name", "https://github.com/org/name/tree/abc"),
        ("gl", "group/sub/x", "https://gitlab.com/group/sub/x", "https://gitlab.com/group/sub/x/tree/abc"),
        ("git", "https://git.example.org/x", "https://git.example.org/x", "https://hub.example.org/x"),
        ("zenodo", "10.5281/zenodo.1", "https://doi.org/10.5281/zenodo.1", "https://hub.example.org/x"),
    ],
)
def test_the_summary_links_repository_and_commit(provider: str, repo: str, page: str, commit_page: str) -> None:
    session = Session(
        url="https://h.example.org/x/",
        token="t",
        provider=provider,
        repo=repo,
        resolved_ref="abc",
        ref_url="https://hub.example.org/x",
    )
    summary = summarize(Report(session=session))
    assert f"]({page}) |" in summary
    assert f"| commit | [abc]({commit_page}) |" in summary


def test_only_the_end_of_a_long_log_is_shown(tmp_path: Path) -> None:
    launch = past(tmp_path, "".join(f"line {number} {'x' * 1000}\n" for number in range(200)), ("building", 1.0))
    page = summarize(Report(launch=launch, error=BuildError("no")))
    assert "the last 60 of 200 lines" in page
    assert "line 139 " not in page
    assert "line 140 " in page
    assert len(page) < 30_000
    launch.path.unlink()
    assert "<details>" not in summarize(Report(launch=launch, error=BuildError("no")))


def test_a_summary_of_a_long_log_and_a_long_error_is_short(tmp_path: Path) -> None:
    launch = past(tmp_path, "x" * 1_000_000 + "\n" + "\n".join(map(str, range(100_000))), ("building", 90.0))
    page = summarize(Report(launch=launch, error=BuildError("y" * 5_000_000)))
    assert len(page) < 100_000
    assert re.search(r"the last 60 of 1000\d\d lines", page)
    assert "99999" in page
