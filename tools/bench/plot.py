"""Draws what `bench --json` has kept: FILE.json FILE.png. Runs in .venv-bench and knows nothing of Ticks."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

WIDTH_PX, DPI = 1600, 200
ROW_INCHES, MARGIN_INCHES = 0.33, 1.25
INK, GRID, LINE = "#1f2933", "#d9dee3", "#c2410c"
COLOURS = {"viewset": "#7aa5d8", "ungrouped": "#b4bcc4"}
FAST = "#1d5fa8"
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


def draw(kept: dict, to: Path) -> None:
    scenarios = kept["scenarios"][::-1]
    ratios = [scenario["ratio"] for scenario in scenarios]
    medians = [ratio["median"] for ratio in ratios]
    whiskers = [
        [ratio["median"] - ratio["min"] for ratio in ratios],
        [ratio["max"] - ratio["median"] for ratio in ratios],
    ]
    plt.rcParams.update({"font.size": 8, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK})
    height = ROW_INCHES * len(scenarios) + MARGIN_INCHES
    figure, axes = plt.subplots(figsize=(WIDTH_PX / DPI, height), dpi=DPI, layout="constrained")
    colours = [COLOURS.get(scenario["scenario"].rpartition("-")[0], FAST) for scenario in scenarios]
    rows = range(len(scenarios))
    axes.barh(
        rows, medians, xerr=whiskers, color=colours, height=0.66, error_kw={"ecolor": INK, "capsize": 2.5, "lw": 0.9}
    )
    furthest = max(ratio["max"] for ratio in ratios)
    for row, scenario, ratio in zip(rows, scenarios, ratios, strict=True):
        label = f"{ratio['median']:.2f}   {scenario['rate']['median']:,.0f}/s"
        axes.text(ratio["max"] + furthest * 0.015, row, label, va="center", fontsize=7.5, bbox=PAPER, zorder=4)
    side = "left" if furthest > 2 else "right"
    # The line that everything is compared with.
    axes.axvline(1, color=LINE, lw=1.3, zorder=3)
    axes.text(1, len(scenarios) - 0.4, " A: hand-written SQL ", color=LINE, ha=side, va="bottom", fontsize=7.5)
    axes.set_yticks(rows, [scenario["title"] for scenario in scenarios])
    axes.set_xlim(0, max(furthest, 1) * 1.27)
    axes.set_ylim(-0.6, len(scenarios) + 0.1)
    axes.set_xlabel("requests a second, as a multiple of A; medians, with the least and the most of all rounds")
    axes.grid(axis="x", color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for edge in ("top", "right", "left"):
        axes.spines[edge].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    figure.savefig(to, facecolor="white")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
