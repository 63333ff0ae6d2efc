"""Build a book in a nox session: `nox -s book`. The repository and the hub are those of clinder.toml."""

from __future__ import annotations

from pathlib import Path

import nox

import clinder


@nox.session(venv_backend="none")
def book(session: nox.Session) -> None:
    """Execute and build the book on a Binder session, which is stopped whatever comes."""
    command = session.posargs or ["myst", "build", "--site", "--execute", "--strict"]
    with clinder.session(file=Path("clinder.toml")) as binder:
        variables = {"JUPYTER_BASE_URL": binder.url.rstrip("/"), "JUPYTER_TOKEN": binder.token}
        session.run(*command, env=variables, external=True)
