"""The measurements, and the tables with their results."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from installed import HERE, LIMIT_S
from measuring import ENVIRONMENT, Run, measure, median, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from installed import Tools

IDLE_BAR = 1.1
LAUNCH_BAR = 1.5
LOG_BAR_MB_PER_S = 25
MEMORY_BAR_MB = 80
AT_ONCE = 50
PEER_NAME = "JavaScript client"

NOTHING = '''
import typer
app = typer.Typer()
@app.command()
def main() -> None:
    """Do nothing."""
app()
'''


@dataclass(frozen=True)
class Table:
    """The results of a measurement.

    Attributes:
        name: the name of its place on the page.
        head: the column titles.
        rows: the rows in order.
        compared: for the plot: clinder's value and the peer's by label; less is better.
    """

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    compared: Mapping[str, tuple[float, float]]

    def __str__(self) -> str:
        lines = [self.head, ["---", *["---:"] * (len(self.head) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _verdict(holds: bool) -> str:
    return "met" if holds else "missed"


def _ratios(found: Mapping[str, Run], base: str, bar: float) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name, done in found.items():
        ratio = done.seconds / found[base].seconds
        is_ours = name.startswith("`clinder")
        rows.append(
            (
                name,
                f"{done.seconds * 1000:.0f}",
                f"{done.cpu_s * 1000:.0f}",
                f"{ratio:.2f}",
                _verdict(ratio <= bar) if is_ours else "",
            )
        )
    return rows


_RATIO_HEAD = ("command", "time (ms)", "CPU (ms)", "ratio", "target")


def idle(tools: Tools, rounds: int) -> Table:
    """Measure commands that contact no hub, and a Typer program that does nothing."""
    nothing = tools.folder / "nothing.py"
    nothing.write_text(NOTHING)
    state = tools.folder / "recorded"
    run(tools.up("events", 0, state), tools.folder)
    base = "a Typer program that does nothing"
    commands = {
        base: [tools.python, str(nothing)],
        "`clinder --version`": [tools.clinder, "--version"],
        "`clinder status`, no session": [tools.clinder, "status"],
        "`clinder env --no-check`": [tools.clinder, "env", "--no-check", "--state-dir", str(state)],
    }
    found = measure(commands, rounds, tools.folder, expected=(0, 6))
    return Table("idle", _RATIO_HEAD, _ratios(found, base, IDLE_BAR), {})


def launching(tools: Tools, rounds: int) -> Table:
    """Time a launch on a hub that answers at once."""
    base = '`python -c "import typer, requests"`'
    nothing = tools.folder / "nothing_with_requests.py"
    nothing.write_text("import requests" + NOTHING)
    commands = {
        base: [tools.python, "-c", "import typer, requests"],
        "a Typer program that imports requests and does nothing": [tools.python, str(nothing)],
        "`clinder start`": tools.start("events", 0),
        PEER_NAME: tools.peer("events", 0),
        "curl": tools.curl("events", 0),
    }
    found = measure(commands, rounds, tools.folder)
    compared = {"a launch": (found["`clinder start`"].seconds, found[PEER_NAME].seconds)}
    return Table("launch", _RATIO_HEAD, _ratios(found, base, LAUNCH_BAR), compared)


def after_ready(tools: Tools, rounds: int) -> Table:
    """Time the interval from the hub's `ready` to the end of the command."""
    commands = {
        "`clinder start`": tools.start("late", 2),
        PEER_NAME: tools.peer("late", 2),
        "curl": tools.curl("late", 2),
    }
    found = measure(commands, rounds, tools.folder, seconds=lambda done: done.ended_at - tools.ready_at())
    rows = [(name, f"{done.seconds * 1000:.0f}") for name, done in found.items()]
    compared = {"from ready to the end": (found["`clinder start`"].seconds, found[PEER_NAME].seconds)}
    return Table("after-ready", ("command", "time (ms)"), rows, compared)


def kept(tools: Tools, rounds: int) -> Table:
    """Time `up` with a session that is running as declared, and one request by curl."""
    state = tools.folder / "kept"
    run(tools.up("events", 0, state), tools.folder)
    nothing = str(tools.folder / "nothing_with_requests.py")
    commands = {
        "a Typer program that imports requests and does nothing": [tools.python, nothing],
        "`clinder up`, nothing to do": tools.up("events", 0, state),
        "curl, the same request": ["curl", "-sSf", f"{tools.hub}/user/bench/api/status"],
    }
    found = measure(commands, rounds, tools.folder)
    rows = [(name, f"{done.seconds * 1000:.0f}", f"{done.cpu_s * 1000:.0f}") for name, done in found.items()]
    return Table("kept", ("command", "time (ms)", "CPU (ms)"), rows, {})


def logging(tools: Tools, rounds: int, megabytes: int) -> Table:
    """Measure a launch with a long build log, without a terminal."""
    kinds = {"events": "one chunk per event", "blocks": "chunks of 64 KB"}
    sizes = (megabytes // 10, megabytes)
    clients = {"`clinder start`": tools.start, PEER_NAME: tools.peer, "curl": tools.curl}
    keys = [(client, kind, size) for size in sizes for kind in kinds for client in clients]
    found = measure({repr(key): clients[key[0]](*key[1:]) for key in keys}, rounds, tools.folder)

    def row(client: str, kind: str) -> Sequence[str]:
        done, less = found[repr((client, kind, megabytes))], found[repr((client, kind, sizes[0]))]
        speed = megabytes / done.seconds
        holds = _verdict(speed >= LOG_BAR_MB_PER_S and done.memory_mb < MEMORY_BAR_MB)
        return (
            client,
            kinds[kind],
            f"{done.seconds:.2f}",
            f"{done.cpu_s:.2f}",
            f"{speed:.0f}",
            f"{less.memory_mb:.0f} / {done.memory_mb:.0f}",
            holds if client.startswith("`") else "",
        )

    ours, peers = (found[repr((client, "events", megabytes))] for client in ("`clinder start`", PEER_NAME))
    compared = {
        f"{megabytes} MB of log: time": (ours.seconds, peers.seconds),
        f"{megabytes} MB of log: processor": (ours.cpu_s, peers.cpu_s),
        f"{megabytes} MB of log: memory": (ours.memory_mb, peers.memory_mb),
    }
    head = (
        "client",
        "the hub sends",
        "time (s)",
        "CPU (s)",
        "MB/s",
        f"memory at {sizes[0]} / {megabytes} MB (MB)",
        "target",
    )
    return Table("log", head, [row(client, kind) for kind in kinds for client in clients], compared)


def in_sequence(tools: Tools, launches: int) -> Table:
    """Launch repeatedly in one process, and check whether it grows."""
    commands = {
        "`clinder.launch`": [tools.python, str(HERE / "sequence.py"), tools.hub, str(launches)],
        PEER_NAME: tools.peer("events", 0, launches),
    }
    rows: list[Sequence[str]] = []
    seconds: list[float] = []
    for name, command in commands.items():
        done = run(command, tools.folder)
        report = json.loads((tools.folder / "stdout").read_bytes().splitlines()[-1])
        early, late = report["early"], report["late"]
        seconds.append(done.seconds)
        rows.append(
            (
                name,
                f"{done.seconds / launches * 1000:.1f}",
                f"{early['memory_mb']:.0f} / {late['memory_mb']:.0f}",
                f"{early['files']} / {late['files']}",
            )
        )
    head = ("client", "time per launch (ms)", f"memory after {launches // 10} / {launches} (MB)", "open files")
    return Table("sequence", head, rows, {f"each of {launches} launches": (seconds[0], seconds[1])})


def at_once(tools: Tools, rounds: int) -> Table:
    """Start fifty sessions in fifty folders at once, and check that each state contains one."""
    folders = [tools.folder / f"at-once-{number}" for number in range(AT_ONCE)]
    for folder in folders:
        folder.mkdir()
    commands: dict[str, Callable[[Path], list[str]]] = {
        "`clinder up`": lambda folder: tools.up("events", 0, folder / "state"),
        PEER_NAME: lambda _: tools.peer("events", 0),
    }
    runs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            for folder in folders:
                shutil.rmtree(folder / "state", ignore_errors=True)
            runs[name].append(_all_at_once(command(folder) for folder in folders))
            if "clinder" in name:
                assert all(json.loads((folder / "state" / "state.json").read_text())["session"] for folder in folders)
    found = {name: median([Run(seconds, 0, 0) for seconds in done]) for name, done in runs.items()}
    rows = [(name, f"{done.seconds:.1f}") for name, done in found.items()]
    compared = {f"{AT_ONCE} launches at once": (found["`clinder up`"].seconds, found[PEER_NAME].seconds)}
    return Table("at-once", ("command", "time until all have exited (s)"), rows, compared)


def _all_at_once(commands: Iterable[Sequence[str]]) -> float:
    began = time.monotonic()
    processes = [
        subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for command in commands
    ]
    for process in processes:
        _, said = process.communicate(timeout=LIMIT_S)
        if process.returncode:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}:\n{said.decode(errors='replace')}")
    return time.monotonic() - began
