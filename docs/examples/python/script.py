"""Use a session from a script: launch it, work with it, and have it stopped whatever happens.

python script.py org/name https://mybinder.org
"""

from __future__ import annotations

import sys

import requests

import clinder
from clinder.model.events import Event, Progress


def show(item: Event | Progress) -> None:
    """Show what the hub says while it builds and launches."""
    if isinstance(item, Event) and item.message:
        print(item.message.rstrip(), file=sys.stderr)  # noqa: T201


def main(repository: str, hub: str) -> None:
    """Launch a session and ask it which kernels it has."""
    with clinder.session(repository, hub=hub, on_event=show) as session:
        authorization = {"Authorization": f"token {session.token}"}
        answer = requests.get(f"{session.url}api/kernelspecs", headers=authorization, timeout=30)
        answer.raise_for_status()
        print(", ".join(answer.json()["kernelspecs"]))  # noqa: T201


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except clinder.ClinderError as error:
        sys.exit(f"{error.kind}: {error.message}")
