"""Measure clinder and its peers in one run.

    python tests/benchmarks/run.py [--quick] [--write]

It installs clinder like a user (a wheel, with its bytecode) into a separate environment, and the JavaScript client
from npm, both in a temporary folder. Each round runs every command once, so that a busy machine slows down all of
them; the tables show medians. `--write` writes them and a plot to `docs/performance.md`. Needs Linux, Node.js 20
and curl.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from installed import HERE, PEER, prepared
from tables import after_ready, at_once, idle, in_sequence, kept, launching, logging

if TYPE_CHECKING:
    from installed import Tools
    from tables import Table

PAGE = HERE.parent.parent / "docs" / "performance.md"
PLOT = HERE.parent.parent / "docs" / "pictures" / "performance.svg"


def measure_all(tools: Tools, *, is_quick: bool) -> list[Table]:
    """Run all measurements."""
    rounds = 3 if is_quick else 21
    return [
        idle(tools, rounds),
        launching(tools, rounds),
        after_ready(tools, 1 if is_quick else 9),
        kept(tools, rounds),
        logging(tools, 1 if is_quick else 5, 10 if is_quick else 100),
        in_sequence(tools, 100 if is_quick else 1000),
        at_once(tools, 1 if is_quick else 3),
    ]


def describe_machine(tools: Tools) -> str:
    """Describe the machine, and list the versions of the compared programs."""
    query = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('typer', 'pydantic', 'requests')))"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"load average {os.getloadavg()[0]:.1f} before the first run.\n"
        f"Python {platform.python_version()}, {_said_by(tools.python, '-c', query)}; `{PEER}`, "
        f"Node.js {_said_by('node', '--version')}; {' '.join(_said_by('curl', '--version').split()[:2])}."
    )


def _said_by(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def write_page(machine: str, tables: list[Table]) -> None:
    """Write the results to their places on the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in {"machine": machine, **{table.name: str(table) for table in tables}}.items():
        place = re.search(rf"<!-- measured: {name} -->\n.*?\n<!-- end -->", page, re.DOTALL)
        if not place:
            raise SystemExit(f"{PAGE} has no place for {name}")
        begin, end = place.span()
        page = f"{page[:begin]}<!-- measured: {name} -->\n\n{text}\n\n<!-- end -->{page[end:]}"
    PAGE.write_text(page, encoding="utf-8")


def draw(tools: Tools, tables: list[Table]) -> None:
    """Plot clinder's values relative to the peer's, in an environment with the plotting library."""
    compared = {label: values for table in tables for label, values in table.compared.items()}
    PLOT.parent.mkdir(exist_ok=True)
    subprocess.run([tools.python, str(HERE / "plot.py"), str(PLOT)], input=json.dumps(compared), text=True, check=True)


def main() -> None:
    """Run all measurements, and print them with the machine and the versions."""
    parser = argparse.ArgumentParser(description="Measure clinder and its peers.")
    parser.add_argument("--quick", action="store_true", help="few rounds and 10 MB, to check that it works")
    parser.add_argument("--write", action="store_true", help="write tables and plot to docs/performance.md")
    arguments = parser.parse_args()
    with prepared() as tools:
        machine = describe_machine(tools)
        print(machine, end="\n\n")
        tables = measure_all(tools, is_quick=arguments.quick)
        for table in tables:
            print(f"### {table.name}\n\n{table}", end="\n\n")
        if arguments.write:
            write_page(machine, tables)
            draw(tools, tables)


if __name__ == "__main__":
    main()
