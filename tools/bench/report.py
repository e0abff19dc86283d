"""Prints medians with their extremes, as tables."""

from collections.abc import Sequence
from statistics import median

from tools.bench.measure import Result

COLUMNS = (
    "scenario",
    "requests/s",
    "(min-max)",
    "ratio to A",
    "(min-max)",
    "p50 ms",
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


def by_scenario(results: Sequence[Result], world: str) -> dict[str, list[Result]]:
    """The runs of a world, in the order in which the scenarios ran."""
    runs: dict[str, list[Result]] = {}
    for result in results:
        if result.world == world:
            runs.setdefault(result.scenario, []).append(result)
    return runs


def tables(results: Sequence[Result], worlds: Sequence[str]) -> str:
    """A table for each world. Each world but the first is also compared with the first, as a quotient."""
    parts = []
    for world in worlds:
        title = f"{world}\n" if len(worlds) > 1 else ""
        parts.append(title + columns([COLUMNS, *map(cells, by_scenario(results, world).values())]))
    parts += [LEGEND, *(comparison(results, worlds[0], world) for world in worlds[1:])]
    return "\n" + "\n\n".join(parts)


def cells(runs: Sequence[Result]) -> tuple[str, ...]:
    rates, ratios = [run.rate for run in runs], [run.ratio for run in runs]
    return (
        runs[0].title,
        f"{median(rates):.0f}",
        f"({min(rates):.0f}-{max(rates):.0f})",
        f"{median(ratios):.2f}",
        f"({min(ratios):.2f}-{max(ratios):.2f})",
        f"{median(run.p50 for run in runs):.1f}",
        f"{median(run.p99 for run in runs):.1f}",
        str(sum(run.errors for run in runs)),
        f"{median(run.server_us for run in runs):.0f}",
        f"{median(run.database_us for run in runs):.0f}",
        f"{max(run.memory_mb for run in runs):.0f}",
    )


def comparison(results: Sequence[Result], base: str, other: str) -> str:
    """How many times as fast and as costly `other` is. These are medians of the quotients of runs in the same round."""
    lines = [(f"{other} / {base}", "rate", "(min-max)", "CPU: server", "server and database")]
    bases = by_scenario(results, base)
    for name, runs in by_scenario(results, other).items():
        pairs = list(zip(runs, bases[name], strict=True))
        rates = [run.rate / max(before.rate, 1) for run, before in pairs]
        server = [run.server_us / max(before.server_us, 1) for run, before in pairs]
        both = [
            (run.server_us + run.database_us) / max(before.server_us + before.database_us, 1) for run, before in pairs
        ]
        spread = f"({min(rates):.2f}-{max(rates):.2f})"
        lines.append((runs[0].title, f"{median(rates):.2f}", spread, f"{median(server):.2f}", f"{median(both):.2f}"))
    return columns(lines)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligns the first column to the left, and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )


def findings(results: Sequence[Result]) -> list[str]:
    return [f"{result.world}, {result.scenario}: {finding}" for result in results for finding in result.findings]
