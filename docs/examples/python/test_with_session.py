"""Share one session between all tests: pytest launches it for the first test that needs it, and stops it at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

import clinder

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def binder() -> Iterator[clinder.Session]:
    """Launch the session that clinder.toml declares."""
    with clinder.session(file=Path("clinder.toml")) as session:
        yield session


def test_the_repository_has_its_notebook(binder: clinder.Session) -> None:
    """Check the files of the session."""
    authorization = {"Authorization": f"token {binder.token}"}
    answer = requests.get(f"{binder.url}api/contents/hello.ipynb", headers=authorization, timeout=30)
    assert answer.json()["type"] == "notebook"
