"""Measure clinder beside its peers, in one run, and print tables in Markdown.

    python tests/benchmarks/run.py [--quick]

It installs clinder as a user does (a wheel, with its bytecode) into an environment of its own, and the JavaScript
client from npm, both in a temporary folder. Each round runs every command once, so that a busy machine slows all of
them; the tables show medians. Needs Linux or macOS, Node.js 20 and curl.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).parent
PEER = "@jupyterhub/binderhub-client@0.5.0"
LIMIT_S = 600
UNWANTED = re.compile(r"PYTHON|CLINDER_|.*_proxy$|COVERAGE", re.IGNORECASE)
ENVIRONMENT = {name: value for name, value in os.environ.items() if not UNWANTED.match(name)}

STARTUP_BAR = 1.3
LAUNCH_BAR = 1.5
LOG_BAR_MB_PER_S = 25
MEMORY_BAR_MB = 80

NOTHING = '''
import typer
app = typer.Typer()
@app.command()
def main() -> None:
    """Do nothing."""
app()
'''


@dataclass(frozen=True)
class Run:
    """What one run of a command took."""

    seconds: float
    cpu_s: float
    memory_mb: float


@dataclass(frozen=True)
class Tools:
    """Where everything is.

    Attributes:
        folder: temporary, empty but for what is installed here.
        python: of the environment that clinder is installed in.
        clinder: the command.
        modules: where npm put the JavaScript client.
        hub: the URL of the hub of `instant_hub.py`.
    """

    folder: Path
    python: str
    clinder: str
    modules: str
    hub: str

    def start(self, kind: str, megabytes: int) -> list[str]:
        """Name the command that launches with clinder."""
        return [
            *(self.clinder, "start", "--hub", self.hub, "--session-warm", "off"),
            *("--repo", f"gh:bench/{kind}", "--ref", str(megabytes)),
        ]

    def peer(self, kind: str, megabytes: int) -> list[str]:
        """Name the command that launches with the JavaScript client."""
        spec = f"gh/bench/{kind}/{megabytes}"
        return ["node", str(HERE / "launch.mjs"), self.modules, f"{self.hub}/build", spec]

    def curl(self, kind: str, megabytes: int) -> list[str]:
        """Name the command that hears the stream and does nothing with it."""
        return ["curl", "-sSf", "-H", "Accept: text/event-stream", f"{self.hub}/build/gh/bench/{kind}/{megabytes}"]


def run(command: Sequence[str], folder: Path, *, expected: Sequence[int] = (0,)) -> Run:
    """Run a command with its output in files, as a CI runner keeps it, and see that it ends as it should."""
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=stdout, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        said = (folder / "stderr").read_bytes()[-2000:].decode(errors="replace")
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kibibytes elsewhere
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6)


def measure(
    commands: Mapping[str, Sequence[str]], rounds: int, folder: Path, *, expected: Sequence[int] = (0,)
) -> dict[str, Run]:
    """Run every command once in each round, after one that does not count; returns the medians."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            done = run(command, folder, expected=expected)
            if number:
                runs[name].append(done)
        sys.stderr.write(".")
        sys.stderr.flush()
    sys.stderr.write("\n")
    return {
        name: Run(
            statistics.median(each.seconds for each in done),
            statistics.median(each.cpu_s for each in done),
            max(each.memory_mb for each in done),
        )
        for name, done in runs.items()
    }


def show(head: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    """Print a table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), end="\n\n")


def verdict(value: float, bar: float, *, at_most: bool) -> str:
    """Say whether a bar holds."""
    return "holds" if (value <= bar if at_most else value >= bar) else "missed"


def startup(tools: Tools, rounds: int) -> None:
    """Measure (a): commands that need no network, beside a Typer program that does nothing."""
    nothing = tools.folder / "nothing.py"
    nothing.write_text(NOTHING)
    base = "a Typer program that does nothing"
    commands = {
        base: [tools.python, str(nothing)],
        "`clinder --version`": [tools.clinder, "--version"],
        "`clinder status`, no session": [tools.clinder, "status"],
    }
    found = measure(commands, rounds, tools.folder, expected=(0, 6))
    print(f"### Starting up\n\nBar: {STARTUP_BAR} times the program that does nothing, by the clock.\n")
    show(["command", "time (ms)", "processor (ms)", "ratio", "bar"], _ratios(found, base, STARTUP_BAR))


def _ratios(found: Mapping[str, Run], base: str, bar: float) -> Iterator[Sequence[str]]:
    for name, done in found.items():
        ratio = done.seconds / found[base].seconds
        is_ours = name.startswith("`clinder")
        yield (
            name,
            f"{done.seconds * 1000:.0f}",
            f"{done.cpu_s * 1000:.0f}",
            f"{ratio:.2f}",
            verdict(ratio, bar, at_most=True) if is_ours else "",
        )


def launching(tools: Tools, rounds: int) -> None:
    """Measure (b): a launch from a hub that answers at once."""
    base = '`python -c "import typer, requests"`'
    nothing = tools.folder / "nothing_with_requests.py"
    nothing.write_text("import requests" + NOTHING)
    commands = {
        base: [tools.python, "-c", "import typer, requests"],
        "a Typer program that imports requests and does nothing": [tools.python, str(nothing)],
        "`clinder start`": tools.start("events", 0),
        "JavaScript client": tools.peer("events", 0),
        "curl": tools.curl("events", 0),
    }
    found = measure(commands, rounds, tools.folder)
    print(f"### A launch from a hub that answers at once\n\nBar: {LAUNCH_BAR} times the imports, by the clock.\n")
    show(["command", "time (ms)", "processor (ms)", "ratio", "bar"], _ratios(found, base, LAUNCH_BAR))


def logging(tools: Tools, rounds: int, megabytes: int) -> None:
    """Measure (c): a long build log, without a terminal."""
    kinds = {"events": "a chunk for each event", "blocks": "chunks of 64 KB"}
    sizes = (megabytes // 10, megabytes)
    clients = {"`clinder start`": tools.start, "JavaScript client": tools.peer, "curl": tools.curl}
    commands = {
        (client, kind, size): name(kind, size) for size in sizes for kind in kinds for client, name in clients.items()
    }
    found = measure({repr(key): command for key, command in commands.items()}, rounds, tools.folder)

    def rows() -> Iterator[Sequence[str]]:
        for client, kind, size in commands:
            done, less = found[repr((client, kind, size))], found[repr((client, kind, sizes[0]))]
            if size != megabytes:
                continue
            speed = size / done.seconds
            holds = verdict(speed, LOG_BAR_MB_PER_S, at_most=False) if client.startswith("`") else ""
            memory = f"{less.memory_mb:.0f} / {done.memory_mb:.0f}"
            yield client, kinds[kind], f"{done.seconds:.2f}", f"{done.cpu_s:.2f}", f"{speed:.0f}", holds, memory

    print(
        f"### A build log of {megabytes} MB\n\n"
        f"Lines of 100 to 200 characters, an event for each; MB of log, not of the stream, which is a third larger.\n"
        f"Bars: {LOG_BAR_MB_PER_S} MB/s; memory under {MEMORY_BAR_MB} MB, and as much at {sizes[0]} MB.\n"
    )
    head = ["client", "the hub sends", "time (s)", "processor (s)", "MB/s", "bar", f"MB at {sizes[0]} / {megabytes}"]
    show(head, rows())


@contextlib.contextmanager
def prepared() -> Iterator[Tools]:
    """Install everything, and run the hub in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="clinder-benchmarks-") as name:
        folder = Path(name)

        def install(*command: str) -> None:
            subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, stdout=sys.stderr, timeout=LIMIT_S)

        install(sys.executable, "-m", "venv", "venv")
        python = str(folder / "venv" / "bin" / "python")
        install(python, "-m", "pip", "install", "-qq", "--compile", str(HERE.parent.parent))
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


def _said_by(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    """Measure everything, and print it with the machine and the versions."""
    arguments = argparse.ArgumentParser(description="Measure clinder beside its peers.")
    arguments.add_argument("--quick", action="store_true", help="few rounds and 10 MB: to see that it works")
    is_quick = arguments.parse_args().quick
    with prepared() as tools:
        query = (
            "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('typer', 'pydantic', 'requests')))"
        )
        print(f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()},")
        print(f"load average {os.getloadavg()[0]:.1f} before the first run\n")
        print(f"Python {platform.python_version()}, {_said_by(tools.python, '-c', query)}, {PEER},")
        print(f"Node.js {_said_by('node', '--version')}, {' '.join(_said_by('curl', '--version').split()[:2])}\n")
        startup(tools, 3 if is_quick else 21)
        launching(tools, 3 if is_quick else 21)
        logging(tools, 1 if is_quick else 5, 10 if is_quick else 100)


if __name__ == "__main__":
    main()
