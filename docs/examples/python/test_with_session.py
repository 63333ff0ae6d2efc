"""Test against one session that all tests share: pytest starts it when the first test wants it, and stops it."""

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
    """The session that clinder.toml declares."""
    with clinder.session(file=Path("clinder.toml")) as session:
        yield session


def test_the_repository_has_its_notebook(binder: clinder.Session) -> None:
    """Look into the session's files."""
    authorization = {"Authorization": f"token {binder.token}"}
    answer = requests.get(f"{binder.url}api/contents/hello.ipynb", headers=authorization, timeout=30)
    assert answer.json()["type"] == "notebook"
