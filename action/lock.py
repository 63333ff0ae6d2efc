"""Pin the dependencies of the action: write `action/requirements.txt` from the dependencies in `pyproject.toml`.

    python action/lock.py             newest versions
    python action/lock.py --check     check whether the file is up to date; needs no network

The pins hold for Python 3.11 and later on Linux, macOS and Windows. `uv` must be on PATH.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "action" / "requirements.txt"
_FOR = "# for: "


def wanted(project: Path = ROOT / "pyproject.toml") -> str:
    """Get clinder's dependencies, as one line."""
    dependencies = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return ", ".join(sorted(dependencies))


def locked_for(lock: Path = LOCK) -> str:
    """Get the dependencies for which the file was written."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix(_FOR) for line in lines if line.startswith(_FOR)), "")


def compile_pins() -> str:
    """Let uv select the newest compatible versions, with the hashes of all their files."""
    command = [
        *("uv", "pip", "compile", "--no-config", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-header", "--no-annotate", "--quiet", "pyproject.toml"),
    ]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout


def main() -> int:
    """Write or check the file, and return the exit status."""
    if sys.argv[1:] == ["--check"]:
        if locked_for() == wanted():
            return 0
        sys.stderr.write("action/requirements.txt lags behind pyproject.toml: run python action/lock.py\n")
        return 1
    header = f"# Written by action/lock.py: change pyproject.toml, then run it again.\n{_FOR}{wanted()}\n"
    LOCK.write_text(header + compile_pins(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
