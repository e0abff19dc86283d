import io
import json

import pytest

# What runs needs the driver, which a machine that has only SQLite may lack.
pytest.importorskip("MySQLdb")

from tools.bench import __main__ as bench
from tools.bench import report
from tools.bench.progress import Progress
from tools.bench.rounds import Result, expected_seconds
from tools.bench.scenarios import BY_NAME, SCENARIOS


def result(**changes) -> Result:
    plain = {
        "scenario": "hot-64",
        "round": 1,
        "rate": 500.0,
        "ceilings": [900.0, 1100.0],
        "p50": 10.0,
        "p99": 20.0,
        "longest": 30.0,
        "errors": 0,
        "statuses": {"201": 500},
        "reopened": 0,
        "answered": 500,
        "seconds": 1.0,
        "server_us": 100.0,
        "database_us": 50.0,
        "memory_mb": 70.0,
        "promoted": 0,
        "findings": [],
    }
    return Result(**{**plain, **changes})


def test_ratio_is_to_the_ceilings_around_the_run():
    assert result().ratio == 0.5


def test_medians_come_with_their_extremes():
    runs = [result(rate=rate, errors=1, p99=rate) for rate in (100.0, 900.0, 200.0)] + [result(scenario="mix")]

    hot, mix = report.summary(runs)

    assert hot["rate"] == {"median": 200.0, "min": 100.0, "max": 900.0}
    assert hot["ratio"] == {"median": 0.2, "min": 0.1, "max": 0.9}
    assert (hot["p99"]["median"], hot["errors"], hot["title"]) == (200.0, 3, "hot event, 64 connections")
    assert (mix["scenario"], mix["rate"]["median"]) == ("mix", 500.0)


def test_table_has_a_line_a_scenario():
    lines = report.table(report.summary([result(), result(scenario="login", rate=25.0)])).splitlines()

    assert [line.split("  ")[0] for line in lines] == [
        "scenario",
        "hot event, 64 connections",
        "logins, 8 connections",
    ]
    assert lines[1].split()[-10:] == ["500", "(500-500)", "0.50", "(0.50-0.50)", "10.0", "20.0", "0", "100", "50", "70"]
    assert lines[2].split()[-8:-6] == ["0.03", "(0.03-0.03)"] or lines[2].split()[-8:-6] == ["0.02", "(0.02-0.02)"]


def test_finding_in_any_run_fails_the_benchmark(capsys):
    assert report.complain([result(), result()]) == 0
    assert report.complain([result(), result(round=2, findings=["2 rows are missing"])]) == 1
    assert capsys.readouterr().out == "WRONG: hot-64, round 2: 2 rows are missing\n"


def test_record_keeps_each_run(tmp_path):
    options = bench.arguments(["--json", str(tmp_path / "kept.json")])

    kept = json.loads(report.record(options, "10.11.19-MariaDB", [result(), result(round=2)]))

    assert kept["machine"]["database"] == "10.11.19-MariaDB"
    assert kept["options"]["json"] == str(tmp_path / "kept.json")
    assert [(run["round"], run["ratio"]) for run in kept["runs"]] == [(1, 0.5), (2, 0.5)]
    assert [entry["scenario"] for entry in kept["scenarios"]] == ["hot-64"]


def test_options_are_five_rounds_of_six_seconds_by_default():
    usual, quick = bench.arguments([]), bench.arguments(["--quick"])
    asked = bench.arguments(
        ["--quick", "--rounds", "1", "--seconds", "1", "--scenario", "mix", "hot-1", "--scenario", "mix"]
    )

    assert (usual.rounds, usual.seconds, usual.scenario, usual.memory) == (5, 6, [], None)
    assert (quick.rounds, quick.seconds) == (2, 1.5)
    assert (asked.rounds, asked.seconds, asked.scenario) == (1, 1.0, ["mix", "hot-1"])
    assert bench.arguments(["--memory"]).memory == 500_000


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rounds", "0"],
        ["--seconds", "0"],
        ["--seconds", "inf"],
        ["--seconds", "soon"],
        ["--scenario", "hot"],
        ["--scenario"],
        ["--memory", "-1"],
        ["--growth", "--memory"],
        ["--growth", "--scenario", "mix"],
        ["--growth", "--plot", "a.png"],
        ["--mix", "60"],
        ["--json", "/no/such/directory/a.json"],
    ],
)
def test_wrong_option_is_refused_before_anything_starts(wrong, capsys):
    with pytest.raises(SystemExit) as refused:
        bench.arguments(wrong)

    assert refused.value.code == 2
    assert capsys.readouterr().err


def test_quick_measures_for_less_than_two_minutes():
    options = bench.arguments(["--quick"])

    assert expected_seconds(SCENARIOS, rounds=options.rounds, seconds=options.seconds) < 90


def test_ceiling_is_measured_between_scenarios_and_where_the_rows_change():
    same, other = BY_NAME["hot-64"], BY_NAME["events-64"]

    assert expected_seconds([same, same], rounds=2, seconds=4) == 2 * (2 * 4 + 3 * 2)
    assert expected_seconds([same, other, same], rounds=1, seconds=4) == 3 * 4 + 6 * 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_shows_how_far_it_is_on_a_terminal_only():
    terminal, file = Terminal(), io.StringIO()

    for stream in (terminal, file):
        progress = Progress(200, stream=stream)
        with progress.step("first", 100):
            pass
        with progress.step("second", 100) as watch:
            watch(50, None)
        progress.say("a line")

    assert "]  75%" in terminal.getvalue()
    assert terminal.getvalue().count("left  second") == 2
    assert file.getvalue() == "a line\n"
