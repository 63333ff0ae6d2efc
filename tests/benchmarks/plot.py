"""Plot clinder next to its peer: `python plot.py FILE` reads the comparisons as JSON from stdin."""

from __future__ import annotations

import json
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "clinder"  # the same picture for the same figures


def main() -> None:
    """Draw a bar for each comparison: clinder's value relative to the peer's."""
    compared: dict[str, tuple[float, float]] = json.load(sys.stdin)
    labels = list(compared)
    parts = [ours / peers for ours, peers in compared.values()]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(labels) + 1.2))
    bars = axes.barh(labels, parts, color="#3776ab")
    axes.bar_label(bars, [f"{part:.2f}" for part in parts], padding=4)
    axes.axvline(1, color="#777777", linestyle="--")
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.2, *parts) * 1.1)
    axes.set_xlabel("clinder, as a part of the JavaScript client (less is better)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
