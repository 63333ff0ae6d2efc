"""Build a book in a nox session with `nox -s book`, with the repository and the hub of clinder.toml."""

from __future__ import annotations

from pathlib import Path

import nox

import clinder


@nox.session(venv_backend="none")
def book(session: nox.Session) -> None:
    """Execute and build the book in a Binder session, which is stopped however the build ends."""
    command = session.posargs or ["myst", "build", "--site", "--execute", "--strict"]
    with clinder.session(file=Path("clinder.toml")) as binder:
        variables = {"JUPYTER_BASE_URL": binder.url.rstrip("/"), "JUPYTER_TOKEN": binder.token}
        session.run(*command, env=variables, external=True)
