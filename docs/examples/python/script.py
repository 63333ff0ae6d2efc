"""Use a session from a script. It is stopped however the script ends.

Usage: python script.py org/name https://mybinder.org
"""

from __future__ import annotations

import sys

import requests

import clinder
from clinder.model.events import Event, Progress


def show(item: Event | Progress) -> None:
    """Print the hub's messages during the launch."""
    if isinstance(item, Event) and item.message:
        print(item.message.rstrip(), file=sys.stderr)  # noqa: T201


def main(repository: str, hub: str) -> None:
    """Launch a session and print the names of its kernels."""
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
