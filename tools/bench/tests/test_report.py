import pytest

# The tested module needs the database driver, which a machine with only SQLite may lack.
pytest.importorskip("MySQLdb")

from tools.bench import __main__ as bench
from tools.bench import report
from tools.bench.measure import Result
from tools.bench.scenarios import BY_NAME


def result(**changes) -> Result:
    plain = {
        "world": "this tree",
        "scenario": BY_NAME["hot-64"],
        "rate": 500.0,
        "ceilings": (900.0, 1100.0),
        "p99": 20.0,
        "errors": 0,
        "server_us": 100.0,
        "database_us": 50.0,
        "memory_mb": 70.0,
        "findings": [],
    }
    return Result(**{**plain, **changes})


def test_ratio_is_to_the_ceilings_around_the_run():
    assert result().ratio == 0.5


def test_table_has_a_line_a_scenario_with_medians_and_extremes():
    runs = [result(rate=rate, errors=1, p99=rate) for rate in (100.0, 900.0, 200.0)]

    table = report.tables([*runs, result(scenario=BY_NAME["status"])], ["this tree"])

    heading, hot, status, *_ = table.splitlines()
    assert heading.split("  ")[0] == "scenario"
    assert " ".join(hot.split()) == "hot event, 64 connections 200 (100-900) 0.20 (0.10-0.90) 200.0 3 100 50 70"
    assert " ".join(status.split()) == "status reads, 64 500 (500-500) 0.50 (0.50-0.50) 20.0 0 100 50 70"


def test_second_world_is_shown_as_a_multiple_of_the_first():
    before = [result(world="before", rate=rate) for rate in (100.0, 200.0, 400.0)]
    after = [result(rate=rate, server_us=80.0, database_us=10.0) for rate in (150.0, 220.0, 800.0)]

    table = report.tables([run for pair in zip(before, after, strict=True) for run in pair], ["before", "this tree"])

    *_, heading, line = table.splitlines()
    assert heading.startswith("this tree / before")
    assert " ".join(line.split()) == "hot event, 64 connections 1.50 (1.10-2.00) 0.80 0.20"


def test_options_are_five_rounds_of_six_seconds_by_default():
    usual, quick = bench.arguments([]), bench.arguments(["--quick"])
    asked = bench.arguments(["--rounds", "1", "--seconds", "1", "--scenario", "mix", "hot-1"])

    assert (usual.rounds, usual.seconds, usual.scenario, usual.against) == (5, 6, [], None)
    assert (quick.rounds, quick.seconds) == (2, 1.5)
    assert (asked.rounds, asked.seconds, asked.scenario) == (1, 1.0, ["mix", "hot-1"])


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rounds", "0"],
        ["--seconds", "0"],
        ["--seconds", "inf"],
        ["--seconds", "soon"],
        ["--scenario", "hot"],
        ["--scenario"],
        ["--mix", "60"],
    ],
)
def test_wrong_option_is_refused_before_anything_starts(wrong, capsys):
    with pytest.raises(SystemExit) as refused:
        bench.arguments(wrong)

    assert refused.value.code == 2
    assert capsys.readouterr().err
