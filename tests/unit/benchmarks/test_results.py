"""The tables and JSON files of the benchmarks."""

import json
import os
from importlib.metadata import version

import pytest

from benchmarks.contenders import Measurement
from benchmarks.results import Results, Table, Target, to_json, to_markdown

TABLE = Table(
    "A title",
    [
        Measurement("one", "images/s", [10.0, 20.0, 40.0], 5.0, {"parameters": 1234}),
        Measurement("other", "images/s", [20.0, 60.0, 80.0], 8.0, {"peak MiB": 7}),
    ],
)


def test_a_table_shows_medians_ranges_and_ratios_to_the_first():
    text = to_markdown(Results("part", [TABLE]))
    assert "| one | 20 (10 to 40) | 5 | 1.00 | 1,234 |  |" in text
    assert "| other | 60 (20 to 80) | 8 | 2.00 |  | 7 |" in text


@pytest.mark.parametrize(
    ("values", "at_least", "met"),
    [
        ([1.0, 3.0, 4.0], True, True),
        ([1.0, 1.0, 4.0], True, False),
        ([3.0, 1.0, 1.0], False, True),
        ([3.0], False, False),
    ],
)
def test_the_median_decides_whether_a_target_is_met(values, at_least, met):
    results = Results("part", [TABLE], [Target("speed", values, 2.0, at_least)])
    assert json.loads(to_json(results))["targets"][0]["met"] is met
    assert f"| {'yes' if met else 'no'} |" in to_markdown(results)


def test_the_json_names_the_machine_and_the_versions():
    document = json.loads(to_json(Results("part", [TABLE])))
    assert document["tables"][0]["rows"][1]["values"] == [20, 60, 80]
    assert f"{os.cpu_count()} cores" in document["machine"]
    assert document["versions"]["keras"] == version("keras")
