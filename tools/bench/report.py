"""Prints medians with their extremes, as tables."""

from collections.abc import Sequence
from statistics import median

from tools.bench.measure import Result
from tools.service import columns

COLUMNS = (
    "scenario",
    "requests/s",
    "(min-max)",
    "ratio to A",
    "(min-max)",
    "p99 ms",
    "errors",
    "CPU us: server",
    "database",
    "worker MB",
)
LEGEND = (
    "Ceiling A is hand-written SQL through mysqlclient (BEGIN, SELECT FOR UPDATE, UPDATE, INSERT, COMMIT), the better\n"
    "of 2 and 32 connections, right before and right after each run; 64 events are compared with A on 64 rows.\n"
    "CPU is per request, user and system time of all processes. Every run was checked: 2xx = rows = tickets gone."
)


def by_scenario(results: Sequence[Result], world: str) -> list[list[Result]]:
    """The runs of a world, those of each scenario together."""
    scenarios = dict.fromkeys(result.scenario for result in results)
    return [[run for run in results if (run.world, run.scenario) == (world, scenario)] for scenario in scenarios]


def tables(results: Sequence[Result], worlds: Sequence[str]) -> str:
    """A table for each world. The second is also compared with the first, as a quotient."""
    parts = []
    for world in worlds:
        title = f"{world}\n" if len(worlds) > 1 else ""
        parts.append(title + columns([COLUMNS, *map(cells, by_scenario(results, world))]))
    return "\n\n".join([*parts, LEGEND, *(comparison(results, worlds[0], world) for world in worlds[1:])])


def cells(runs: Sequence[Result]) -> tuple[str, ...]:
    rates, ratios = [run.rate for run in runs], [run.ratio for run in runs]
    return (
        runs[0].scenario.title,
        f"{median(rates):.0f}",
        f"({min(rates):.0f}-{max(rates):.0f})",
        f"{median(ratios):.2f}",
        f"({min(ratios):.2f}-{max(ratios):.2f})",
        f"{median(run.p99 for run in runs):.1f}",
        str(sum(run.errors for run in runs)),
        f"{median(run.server_us for run in runs):.0f}",
        f"{median(run.database_us for run in runs):.0f}",
        f"{max(run.memory_mb for run in runs):.0f}",
    )


def comparison(results: Sequence[Result], base: str, other: str) -> str:
    """How many times as fast and as costly `other` is. These are medians of the quotients of runs in the same round."""
    lines = [(f"{other} / {base}", "rate", "(min-max)", "CPU: server", "database")]
    for runs, bases in zip(by_scenario(results, other), by_scenario(results, base), strict=True):
        pairs = list(zip(runs, bases, strict=True))
        rates, *costs = (
            [getattr(run, field) / max(getattr(before, field), 1) for run, before in pairs]
            for field in ("rate", "server_us", "database_us")
        )
        spread = f"({min(rates):.2f}-{max(rates):.2f})"
        lines.append(
            (runs[0].scenario.title, f"{median(rates):.2f}", spread, *(f"{median(cost):.2f}" for cost in costs))
        )
    return columns(lines)
