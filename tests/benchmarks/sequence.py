"""Sequential launches in one Python process: its memory and open files after a tenth of them and after all.

python tests/benchmarks/sequence.py HUB LAUNCHES
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import clinder


def held() -> dict[str, float]:
    """Return the memory and the number of open files of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {"memory_mb": pages * os.sysconf("SC_PAGESIZE") / 1e6, "files": len(list(Path("/proc/self/fd").iterdir()))}


def main() -> None:
    """Launch repeatedly."""
    hub, launches = sys.argv[1], int(sys.argv[2])
    early: dict[str, float] = {}
    for number in range(1, launches + 1):
        clinder.launch("gh:bench/events", hub=hub, ref="0", settings={"session.warm": "off"})
        if number == launches // 10:
            early = held()
    print(json.dumps({"early": early, "late": held()}))


if __name__ == "__main__":
    main()
