"""The embedded hub: folders and git repositories become sessions, and ended sessions leave nothing behind."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from embedded import (
    Session,
    cache,
    checkout,
    cloned,
    commit,
    environment_variables,
    eventually,
    failure,
    git,
    launched,
    local,
    phases,
    processes_of,
    run_python,
)

from clinder.localhub.handover import hand_over
from clinder.localhub.hub import LocalHub
from clinder.localhub.sessions import is_alive, stop
from clinder.model.errors import HubError
from clinder.model.events import Phase
from clinder.model.repository import RepositorySpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["cache"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return checkout(tmp_path / "cookbook", where__txt="main\n")


def test_a_folder_becomes_a_session_with_the_events_of_a_hub(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "analysis.ipynb").write_text("{}")
    events, session = launched(local(folder))
    assert phases(events) == [Phase.BUILT, Phase.LAUNCHING, Phase.READY]
    assert events[0].message == "Found built image, launching...\n"
    assert "isolates nothing" in "".join(event.message for event in events)
    assert session.files() == {"analysis.ipynb"}
    assert session.get("api/status").json()["kernels"] == 0
    details = events[-1].details
    assert details["repo_url"] == details["binder_ref_url"] == folder.as_uri()
    assert details["image"] == events[0].image
    assert stop(session.url, 10)


def test_a_checkout_is_copied_with_current_changes_without_ignored_files(repository: Path, cache: Path) -> None:
    commit(repository, __gitignore="data/\n", gone__txt="to be deleted\n")
    (repository / "data").mkdir()
    (repository / "data" / "large.nc").write_text("ignored")
    (repository / ".clinder").mkdir()
    (repository / ".clinder" / "state.json").write_text("a token")
    (repository / "gone.txt").unlink()
    (repository / "new.txt").write_text("untracked\n")
    (repository / "where.txt").write_text("changed\n")
    _, session = launched(local(repository))
    assert session.files() == {"where.txt", "new.txt"}
    assert session.text("where.txt") == "changed\n"
    assert session.post("api/contents", {"type": "file", "ext": ".txt"}).status_code == 201
    assert len(session.files()) == 3
    assert {path.name for path in repository.glob("*.txt")} == {"where.txt", "new.txt"}, (
        "the session did not work on a copy"
    )
    assert stop(session.url, 10)
    assert list((cache / "sessions").iterdir()) == [], "the copy was not removed"


def test_a_clone_reports_its_commit_and_is_cached(repository: Path) -> None:
    events, session = launched(cloned(repository))
    head = git(repository, "rev-parse", "HEAD")
    details = events[-1].details
    assert phases(events) == [
        Phase.WAITING,
        None,
        Phase.FETCHING,
        Phase.BUILT,
        Phase.LAUNCHING,
        Phase.READY,
    ]
    assert details["binder_request"] == f"v2/{cloned(repository).build_path}"
    assert details["binder_persistent_request"] == f"v2/{cloned(repository, head).build_path}"
    assert events[-1].image.endswith(f":{head}")
    assert stop(session.url, 10)
    repository.rename(repository.with_name("moved away"))
    events, session = launched(cloned(repository, head))
    assert phases(events) == [Phase.BUILT, Phase.LAUNCHING, Phase.READY]
    assert stop(session.url, 10)


def resolved(spec: RepositorySpec) -> str:
    """The commit that a launch would use, without launching."""
    for event in LocalHub().events(spec):
        if event.phase is Phase.BUILT:
            return event.image.rpartition(":")[2]
        assert event.phase is not Phase.FAILED, event.message
    raise AssertionError("no image")


def test_every_kind_of_ref_resolves_to_its_commit(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v1")
    git(repository, "tag", "--annotate", "v1-annotated", "--message", "A release")
    git(repository, "checkout", "--quiet", "-b", "feature/plots")
    second = git(commit(repository, where__txt="feature\n"), "rev-parse", "HEAD")
    git(repository, "checkout", "--quiet", "main")
    third = git(commit(repository, where__txt="later\n"), "rev-parse", "HEAD")
    expected = {
        "HEAD": third,
        "main": third,
        "v1": first,
        "v1-annotated": first,
        "feature/plots": second,
        second: second,
        first[:8]: first,
    }
    assert {ref: resolved(cloned(repository, ref)) for ref in expected} == expected
    assert {ref: resolved(local(repository, ref)) for ref in expected if ref != "HEAD"} == {
        ref: commit for ref, commit in expected.items() if ref != "HEAD"
    }


@pytest.mark.parametrize("ref", ["nope", "feature/nope", "0123abc", "0" * 40])
def test_a_missing_ref_fails_with_the_message_of_binderhub(repository: Path, ref: str) -> None:
    for spec in (cloned(repository, ref), local(repository, ref)):
        event = failure(spec)
        assert event.message == (
            f"Could not resolve ref for {spec.provider}:{spec.repo}/{ref}. "
            "Double check your URL and that your repo is public.\n"
        )
        assert event.status_code is None


def test_a_missing_master_falls_back_to_the_default_branch(repository: Path) -> None:
    waiting = next(LocalHub().events(cloned(repository, "master")))
    assert waiting.phase is Phase.WAITING
    assert waiting.message.endswith("Trying again with HEAD instead of master. Please update your links.\n")
    assert resolved(cloned(repository, "master")) == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RepositorySpec("zenodo", "10.5281/zenodo.3242074"), "does not fetch from zenodo"),
        (RepositorySpec("git", "file:///nowhere/at/all", "main"), "Error resolving ref for git:file:///nowhere"),
        (RepositorySpec("local", "/nowhere/at/all"), "there is no such folder"),
        (RepositorySpec("local", "/usr", "main"), "Error resolving ref for local:/usr/main"),
    ],
)
def test_a_failed_fetch_reports_the_reason(spec: RepositorySpec, words: str) -> None:
    assert words in failure(spec).message


def test_a_hostile_url_runs_no_command(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for url in (f"ssh://-oProxyCommand=touch {marker}/x", f"git://--upload-pack=touch {marker}/x"):
        failure(RepositorySpec("git", url, "main"))
    assert not marker.exists()


def test_a_submodule_of_a_remote_repository_cannot_be_a_local_folder() -> None:
    from clinder.localhub.repositories import submodule_protocols

    assert "file" not in submodule_protocols("https://example.org/a/b").split(":")
    assert "file" in submodule_protocols("file:///srv/repository").split(":")


@dataclass
class Seen:
    """A session for all tests that change nothing, launched in an environment full of secrets."""

    session: Session
    cache: Path
    settings_marker: Path


SECRETS = ("CLINDER_BUILD_TOKEN", "JUPYTER_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "JUPYTER_BASE_URL")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("seen")
    with environment_variables(folder) as cache, pytest.MonkeyPatch.context() as patch:
        for name in SECRETS:
            patch.setenv(name, "a-secret-of-the-caller")
        patch.setenv("JUPYTER_PATH", str(folder / "the user's own"))
        settings = folder / "home" / ".jupyter"
        settings.mkdir()
        marker = folder / "marker"
        (settings / "jupyter_server_config.py").write_text(f"open({str(marker)!r}, 'w')")
        repository = checkout(folder / "cookbook", tornado__py="raise SystemExit('imported')\n")
        _, session = launched(cloned(repository))
        assert session.post("api/kernels").status_code == 201
        yield Seen(session, cache, marker)
        assert stop(session.url, 10)


def test_tokens_and_secrets_are_in_no_arguments_or_variables(seen: Seen) -> None:
    processes = processes_of(seen.cache)
    assert len(processes) == 2, "the server and its kernel"
    for process in processes:
        assert seen.session.token not in " ".join(process.cmdline())
        values = process.environ().values()
        assert not any(seen.session.token in value or "a-secret" in value for value in values)
        assert "JUPYTER_PATH" not in process.environ()


def test_only_the_owner_can_read_the_files_of_the_hub(seen: Seen) -> None:
    for folder in (seen.cache, *seen.cache.iterdir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [path for path in seen.cache.rglob("*") if path.is_file()]
    holding = [path for path in files if seen.session.token.encode() in path.read_bytes()]
    assert holding
    for path in holding:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_jupyter_settings_of_the_user_are_not_read(seen: Seen) -> None:
    assert not seen.settings_marker.exists()
    kernels = seen.session.get("api/kernelspecs").json()["kernelspecs"]
    assert kernels["python3"]["spec"]["argv"][0] == sys.executable


def test_modules_of_the_repository_do_not_shadow_those_of_the_server(seen: Seen) -> None:
    assert seen.session.files() == {"tornado.py"}


def test_a_wrong_token_is_refused(seen: Seen) -> None:
    refused = Session(seen.session.url, "wrong").get("api/status")
    assert refused.status_code == 403
    assert refused.headers["Content-Type"].startswith("application/json")


LAUNCH = """
import json, sys
from clinder.localhub.handover import hand_over
from clinder.localhub.hub import LocalHub
from clinder.model.repository import RepositorySpec
for event in LocalHub().events(RepositorySpec("local", sys.argv[1])):
    last = event
hand_over(last.details["url"])
print(json.dumps(dict(last.details)))
"""


def test_a_session_outlives_its_launcher_and_ends_on_shutdown(repository: Path, cache: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LAUNCH, str(repository)], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    details = json.loads(done.stdout)
    session = Session(details["url"], details["token"])
    assert session.post("api/kernels").status_code == 201
    assert is_alive(session.url) is True
    assert session.post("api/shutdown").status_code == 200
    eventually(lambda: is_alive(session.url) is False, "the session is gone")
    eventually(lambda: not processes_of(cache), "the kernel is gone")


def test_a_killed_session_is_gone_and_the_next_launch_removes_its_folder(repository: Path, cache: Path) -> None:
    _, first = launched(local(repository))
    (server,) = processes_of(cache)
    server.kill()
    eventually(lambda: is_alive(first.url) is False, "the session is gone")
    eventually(
        lambda: not psutil.pid_exists(server.pid), "the server is not a zombie of a launcher that is still running"
    )
    assert len(list((cache / "sessions").iterdir())) == 1
    _, second = launched(local(repository))
    assert len(list((cache / "sessions").iterdir())) == 1
    assert is_alive(first.url) is False, "the session is unknown after its folder was removed"
    assert stop(second.url, 10)


def test_a_later_process_with_the_same_pid_is_not_taken_for_the_server(repository: Path, cache: Path) -> None:
    _, session = launched(local(repository))
    hand_over(session.url)
    (record,) = (cache / "servers").glob("*.json")
    fields = json.loads(record.read_text())
    fields["server"][1] = "another start"
    original = record.read_text()
    record.write_text(json.dumps(fields))
    assert is_alive(session.url) is False
    assert stop(session.url, 1), "stopping failed"
    assert session.get("api/status").status_code == 200
    record.write_text(original)
    assert stop(session.url, 10)


def test_foreign_sessions_are_unknown(cache: Path) -> None:
    for url in ("http://127.0.0.1:8888/", "http://127.0.0.1:8888/user/x/", "https://hub.example.org/user/a-b/"):
        assert is_alive(url) is None
        assert not stop(url, 1)
    assert not cache.exists(), "asking created the cache folder"


def test_stop_kills_a_server_that_ignores_sigterm_and_its_kernels(repository: Path, cache: Path) -> None:
    _, session = launched(local(repository))
    session.post("api/kernels")
    eventually(lambda: len(processes_of(cache)) == 2, "the kernel runs")
    for process in processes_of(cache):
        process.send_signal(signal.SIGSTOP)
    assert stop(session.url, 0.2)
    eventually(lambda: not processes_of(cache), "server and kernel are gone")


@pytest.mark.parametrize("message", ["Launching server", "isolates nothing", "Server ready"])
def test_abandoning_the_events_before_ready_leaves_no_server(repository: Path, cache: Path, message: str) -> None:
    events = LocalHub().events(local(repository))
    for event in events:
        if message in event.message:
            break
    events.close()
    assert not processes_of(cache)
    assert list((cache / "sessions").glob("*")) == []


def test_closing_the_hub_from_another_thread_ends_a_launch(repository: Path, cache: Path) -> None:
    from threading import Thread

    hub = LocalHub()
    events: list[str] = []
    thread = Thread(target=lambda: events.extend(event.message for event in hub.events(local(repository))))
    thread.start()
    eventually(lambda: processes_of(cache), "the server is being started")
    hub.close()
    thread.join(20)
    assert events[-1] == "The embedded hub was closed.\n"
    assert not processes_of(cache)
    _, session = launched(local(repository), hub)
    assert stop(session.url, 10), "the hub cannot be used again"


def test_a_server_ends_when_its_launcher_is_killed(repository: Path, cache: Path) -> None:
    launcher = run_python(LAUNCH, str(repository))
    eventually(lambda: list(cache.glob("servers/*.json")) and servers(cache), "the server is being started")
    launcher.kill()
    launcher.communicate()
    eventually(lambda: not servers(cache), "the server has ended")
    _, session = launched(local(repository))
    assert len(list(cache.glob("servers/*.json"))) == 1, "of the other nothing is left"
    assert len(list(cache.glob("sessions/*"))) == 1
    assert stop(session.url, 10)


def servers(cache: Path) -> list[psutil.Process]:
    return [process for process in processes_of(cache) if "jupyter_server" in " ".join(process.cmdline())]


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HubError) as caught:
        LocalHub()
    assert caught.value.hint == "pip install 'clinder[local]'"
    assert "jupyter_server" in caught.value.message


def test_importing_the_hub_is_cheap() -> None:
    code = "import clinder.localhub, clinder.localhub.http, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert not roots & {"tornado", "jupyter_server", "ipykernel", "psutil", "requests", "asyncio"}
