"""Medians with their extremes: as a table for people, as JSON for everything else."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tools.bench.rounds import Result
from tools.bench.scenarios import BY_NAME

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


def summary(results: Sequence[Result]) -> list[dict]:
    """One entry a scenario, in the order in which they ran."""
    names = list(dict.fromkeys(result.scenario for result in results))
    return [summary_of([result for result in results if result.scenario == name]) for name in names]


def summary_of(runs: Sequence[Result]) -> dict:
    ratios = [run.ratio for run in runs]
    rates = [run.rate for run in runs]
    scenario = BY_NAME.get(runs[0].scenario)
    return {
        "scenario": runs[0].scenario,
        "title": scenario.title if scenario else runs[0].scenario,
        "rate": spread(rates),
        "ratio": spread(ratios),
        "ceiling": spread([ceiling for run in runs for ceiling in run.ceilings]),
        "p50": spread([run.p50 for run in runs]),
        "p99": spread([run.p99 for run in runs]),
        "errors": sum(run.errors for run in runs),
        "server_us": median(run.server_us for run in runs),
        "database_us": median(run.database_us for run in runs),
        "memory_mb": max(run.memory_mb for run in runs),
        "promoted": sum(run.promoted for run in runs),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def table(entries: Sequence[dict]) -> str:
    return columns([COLUMNS, *(cells(entry) for entry in entries)])


def cells(entry: dict) -> tuple[str, ...]:
    rate, ratio = entry["rate"], entry["ratio"]
    return (
        entry["title"],
        f"{rate['median']:.0f}",
        f"({rate['min']:.0f}-{rate['max']:.0f})",
        f"{ratio['median']:.2f}",
        f"({ratio['min']:.2f}-{ratio['max']:.2f})",
        f"{entry['p50']['median']:.1f}",
        f"{entry['p99']['median']:.1f}",
        str(entry["errors"]),
        f"{entry['server_us']:.0f}",
        f"{entry['database_us']:.0f}",
        f"{entry['memory_mb']:.0f}",
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def complain(results: Sequence[Result]) -> int:
    """Says what was found wrong; the status to exit with."""
    wrong = [f"{result.scenario}, round {result.round}: {finding}" for result in results for finding in result.findings]
    for finding in wrong:
        print(f"WRONG: {finding}")
    return 1 if wrong else 0


def record(options: argparse.Namespace, version: str, results: Sequence[Result]) -> str:
    """Everything as JSON: how it was measured, the medians, each run."""
    given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    kept = {
        "options": given,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "database": version},
        "scenarios": summary(results),
        "runs": [{**asdict(result), "ratio": result.ratio} for result in results],
    }
    return json.dumps(kept, indent=2) + "\n"
