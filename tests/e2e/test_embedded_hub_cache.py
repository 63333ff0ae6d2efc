"""The cache folder of the embedded hub, and what happens if it is unusable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import clinder
from embedded import cache, checkout, cloned, local
from hub_process import serving

from clinder.hubs.embedded import EmbeddedHub
from clinder.localhub.sessions import is_alive, stop
from clinder.model.errors import HubError
from clinder.model.events import Event, Phase

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cache"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return checkout(tmp_path / "cookbook", where__txt="main\n")


@pytest.fixture(params=["below a file", "of an unknown user"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cache folder that cannot be created."""
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "cache") if request.param == "below a file" else "~there-is-no-such-user/cache"
    monkeypatch.setenv("CLINDER_CACHE_DIR", folder)
    return folder


def test_an_unusable_cache_folder_is_named_and_nothing_stays_pending(repository: Path, unusable: str) -> None:
    done = clinder(repository, "up", "--hub", "local", "--repo", ".", expect=8)
    assert f"the embedded hub cannot keep anything in {unusable}" in done.stderr.replace("CLINDER_CACHE_DIR, ", "")
    assert "Set CLINDER_CACHE_DIR to a folder" in done.stderr
    status = clinder(repository, "status", "--json", expect=6).document
    assert status["pending"] is None


def test_a_local_session_is_unknown_without_a_usable_cache(unusable: str) -> None:
    url = "http://127.0.0.1:8888/user/a-cookbook-0123456789ab/"
    assert is_alive(url) is None
    assert not stop(url, 0)


def test_another_server_on_this_machine_can_still_be_contacted(repository: Path, unusable: str) -> None:
    done = clinder(repository, "stop", "http://127.0.0.1:9/user/a-b/?token=x", "--timeouts-stop", "1s", expect=8)
    assert "the server cannot be reached" in done.stderr


def test_a_list_skips_an_embedded_hub_without_a_usable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="cannot keep anything"):
        EmbeddedHub(tmp_path / "file" / "cache").health_problem()


def test_hub_serve_reports_an_unusable_cache_to_its_clients(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLINDER_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with serving() as hub:
        (event,) = hub.build(cloned(repository)).rest()
    assert (event.phase, event.status_code) == (Phase.FAILED, 500)
    assert str(tmp_path / "file" / "cache") in event.message


def test_a_record_that_cannot_be_written_fails_the_launch_with_a_message(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only writing fails, as on a full disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clinder.localhub.records.write_private", full)
    stream = EmbeddedHub().launch(local(repository))
    with stream:
        events: list[Event] = []
        while (batch := stream.receive(20)) is not None:
            events += batch
    assert events[-1].phase is Phase.FAILED
    assert "No space left on device" in events[-1].message
