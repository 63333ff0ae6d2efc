"""The setup of the benchmarks: clinder and its peers, freshly installed, and the hub that answers at once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import ENVIRONMENT

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from installing import installer_environment  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER = "@jupyterhub/binderhub-client@0.5.0"
LIMIT_S = 600


@dataclass(frozen=True)
class Tools:
    """The locations of everything.

    Attributes:
        folder: a temporary folder that only contains the installations.
        python: the Python of the environment with clinder.
        clinder: the `clinder` command.
        modules: the folder where npm installed the JavaScript client.
        hub: the URL of the hub from `instant_hub.py`.
    """

    folder: Path
    python: str
    clinder: str
    modules: str
    hub: str

    def start(self, kind: str, number: int) -> list[str]:
        """Return the command that launches with clinder."""
        return [self.clinder, "start", *self._options(kind, number)]

    def up(self, kind: str, number: int, folder: Path) -> list[str]:
        """Return the command that starts or keeps a session, with its state in a folder."""
        return [self.clinder, "up", *self._options(kind, number), "--state-dir", str(folder)]

    def _options(self, kind: str, number: int) -> list[str]:
        return [
            *("--hub", self.hub, "--session-warm", "off"),
            *("--repo", f"gh:bench/{kind}", "--ref", str(number)),
        ]

    def peer(self, kind: str, number: int, launches: int = 1) -> list[str]:
        """Return the command that launches with the JavaScript client, once or several times."""
        spec = f"gh/bench/{kind}/{number}"
        return ["node", str(HERE / "launch.mjs"), self.modules, f"{self.hub}/build", spec, str(launches)]

    def curl(self, kind: str, number: int) -> list[str]:
        """Return the command that reads the stream and discards it."""
        return ["curl", "-sSf", "-H", "Accept: text/event-stream", f"{self.hub}/build/gh/bench/{kind}/{number}"]

    def ready_at(self) -> float:
        """Ask the hub when it last sent `ready`, on the monotonic clock."""
        with urllib.request.urlopen(f"{self.hub}/ready-at", timeout=LIMIT_S) as response:
            return float(response.read())


@contextlib.contextmanager
def prepared() -> Iterator[Tools]:
    """Install everything, and run the hub in a separate process."""
    with tempfile.TemporaryDirectory(prefix="clinder-benchmarks-") as name:
        folder, env = Path(name), installer_environment(ENVIRONMENT)

        def install(*command: str) -> None:
            subprocess.run(command, cwd=folder, env=env, check=True, stdout=sys.stderr, timeout=LIMIT_S)

        install(sys.executable, "-m", "venv", "--without-pip", "venv")
        python = str(folder / "venv" / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python]
        install(*pip, "install", "-qq", "--compile", str(HERE.parent.parent), "matplotlib")
        (folder / "package.json").write_text('{"name": "benchmarks", "private": true}')
        install("npm", "install", "--silent", "--no-audit", "--no-fund", PEER)
        hub = subprocess.Popen(
            [python, str(HERE / "instant_hub.py")],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with hub:
            assert hub.stdin is not None
            assert hub.stdout is not None
            port = hub.stdout.readline().strip()
            try:
                yield Tools(
                    folder, python, str(folder / "venv" / "bin" / "clinder"), str(folder), f"http://127.0.0.1:{port}"
                )
            finally:
                hub.stdin.close()
