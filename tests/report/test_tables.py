"""Each table from rows whose cells can be checked by eye."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from eebench.report.selection import Shown, shown_methods
from eebench.report.tables import (
    cost_table,
    exits_table,
    failures_table,
    heads_note,
    methods_table,
    operating_points,
    operating_points_table,
    parameters_of,
    speedup_table,
    summary_table,
    unanswered_note,
)
from eebench.results import Results


def cells(table: str) -> list[list[str]]:
    """Rows of a Markdown table with the blanks around cells gone; the line under the headers is left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [rows[0], *rows[2:]]


@pytest.fixture
def methods(results: Results) -> dict[str, Shown]:
    return shown_methods(results)


class TestSpeedupTable:
    def test_layout_and_cells(self, results: Results, methods: dict[str, Shown]):
        header, full, pabee, hostile = cells(speedup_table(results.points, results.runs, methods))
        assert header == ["method", "params", "rule", "setting", "speed-up", "RTE (accuracy)", "CoLA (mcc)"]
        assert full == ["Fine-tuned", "4.4M", "static", "exit=4", "1.00x", "70.0 ± 0.5", "40.0 ± 0.5"]
        # RTE at 1 / 0.54 = 1.852, CoLA at 1 / 0.42 = 2.381: the mean is 2.117.
        assert pabee == ["PABEE", "4.4M", "patience", "per task", "2.12x†", "68.0 ± 0.5", "32.0 ± 0.5"]
        assert hostile[3:] == ["S=0.3", "2.00x", "50.0", "-"]

    def test_the_mark_is_explained_where_it_occurs(self, results: Results, methods: dict[str, Shown]):
        both = speedup_table(results.points, results.runs, methods)
        assert both.endswith("the one nearest to 2.00x is shown.")
        alone = results.points[results.points["task"] == "RTE"]
        assert "†" not in speedup_table(alone, results.runs, methods)

    def test_the_mark_says_where_a_setting_was_chosen(self, results: Results, methods: dict[str, Shown]):
        held = results.points.assign(split="holdout")
        text = speedup_table(results.points, results.runs, methods, held)
        assert "the setting chosen on the held-out slice has a speed-up outside 1.80x" in text
        assert cells(text) == cells(speedup_table(results.points, results.runs, methods))

    def test_nothing_to_show(self, results: Results, methods: dict[str, Shown]):
        assert speedup_table(results.points.iloc[:0], results.runs, methods) == ""

    def test_operating_points_are_of_the_default_rule(self, results: Results, methods: dict[str, Shown]):
        chosen = {
            (point["task"], method.name): point for method, point in operating_points(results.points, methods)
        }
        # Exit 2 of the budgeted rule has a speed-up of 1.96, nearer to 2 than any patience.
        assert chosen["RTE", "pabee"]["setting"] == "patience=2"
        assert chosen["CoLA", "pabee"]["setting"] == "patience=1"


class TestOperatingPointsTable:
    def test_task_by_task(self, results: Results, methods: dict[str, Shown]):
        rows = cells(operating_points_table(results.points, methods))
        assert [row[0] for row in rows[1:]] == ["RTE", "RTE", "RTE", "CoLA", "CoLA"]
        assert rows[2] == ["RTE", "PABEE", "patience=2", "1.85x", "1.91x", "2.10", "540.0", "68.0 ± 0.5", "2"]
        assert rows[5][3] == "2.38x†"


def test_methods_table(methods: dict[str, Shown]):
    rows = cells(methods_table(methods))
    assert rows[1] == ["Fine-tuned", "finetune", "static", "Devlin et al., NAACL 2019"]
    assert rows[3][0] == r"&lt;b&gt;A\|B&lt;/b&gt; &amp; \$x^2\$ \[l\](u)"
    assert rows[3][2:] == ["entropy", "-"]


def test_exits_table(results: Results, methods: dict[str, Shown]):
    exits = results.exits[results.exits["task"] == "RTE"]
    rows = cells(exits_table(exits, methods))
    # The order of the suite, although exits.csv mentions PABEE first.
    assert rows[0][:3] == ["exit", "Fine-tuned", "PABEE"]
    assert [row[:3] for row in rows[1:]] == [
        ["1", "-", "55.0"], ["2", "-", "60.0"], ["3", "-", "65.0"], ["4", "70.0", "70.0"],
    ]  # fmt: skip


def test_exits_sort_as_numbers(methods: dict[str, Shown]):
    exits = pd.DataFrame(
        {"task": "rte", "metric": "f1", "method": "pabee", "exit": [10, 9, 2], "score_mean": [0.9, 0.8, 0.7]}
    )
    assert [row[0] for row in cells(exits_table(exits, methods))[1:]] == ["2", "9", "10"]


def test_scores_at_the_floor_are_marked_and_the_mark_explained(methods: dict[str, Shown]):
    exits = pd.DataFrame(
        {"task": "rte", "metric": "f1", "method": "pabee", "exit": [1, 2], "score_mean": [0.5, 0.6]}
    )
    text = exits_table(exits, methods, {("rte", "f1"): 0.5})
    assert [row[-1] for row in cells(text)[1:3]] == ["50.0‡", "60.0"]
    assert text.endswith("‡ no better than one answer for every sample.")
    assert "‡" not in exits_table(exits, methods, {("rte", "f1"): 0.4})


def test_summary_table(results: Results):
    rows = cells(summary_table(results.summary, {"pabee": "PABEE"}))
    assert rows[1] == ["RTE", "PABEE", "patience", "accuracy", "70.0", "1.10x", "62.0", "0.3712", "2"]
    assert rows[2] == ["RTE", "finetune", "budgeted", "accuracy", "70.0", "1.00x", "-", "0.0000", "2"]


class TestCostTable:
    def test_neighbours_that_differ_in_number_alone_share_a_row(self, results: Results):
        assert cells(cost_table(results.costs)) == [
            ["operation", "parameters", "MFLOPs", "convention"],
            ["embedding", "3,972,864", "0.000", "full_2mac@128"],
            ["layer 1-4", "198,272", "249.561", "full_2mac@128"],
            ["exit 1-3", "258", "0.001", "full_2mac@128"],
            ["exit 4", "16,770", "0.033", "full_2mac@128"],
            ["rule step", "0", "-", "full_2mac@128"],
        ]

    def test_smartbert_table_2(self):
        costs = pd.DataFrame(
            {
                "component": ["transformer layer", "classifier", "skipping gate"],
                "parameters": pd.Series([7_087_872, 18_891_010, 18_874_497], dtype="Int64"),
                "flops": pd.Series([1_811_939_328, 37_782_016, 37_748_992], dtype="Int64"),
                "convention": "linear_2mac@128",
            }
        )
        assert [row[2] for row in cells(cost_table(costs))[1:]] == ["1,811.939", "37.782", "37.749"]

    def test_equal_costs_of_different_things_stay_apart(self):
        costs = pd.DataFrame(
            {"component": ["gate", "gate"], "parameters": 1, "flops": 2, "convention": ["a", "b"]}
        )
        assert len(cells(cost_table(costs))) == 3


class TestFailuresTable:
    def test_reasons(self, results: Results):
        rows = cells(failures_table(results.runs))
        assert [(row[0], row[3], row[4]) for row in rows[1:]] == [
            ("RTE", "2", "failed"), ("CoLA", "1", "failed"), ("CoLA", "2", "failed"),
        ]  # fmt: skip
        assert rows[1][5] == r"the loss is not finite at step 12 \| &lt;lr=1&gt;"

    def test_none(self, results: Results):
        fine = replace(results, runs=results.runs.assign(status="ok"))
        assert failures_table(fine.runs) == ""


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([109_483_778, 109_484_547], "109.5M"),
        ([66_955_010, 109_483_778, None], "67.0M-109.5M"),
        ([None], "-"),
    ],
)
def test_parameters_of(sizes: list[int | None], text: str):
    assert parameters_of(pd.DataFrame({"parameters": pd.Series(sizes, dtype="Int64")})) == text


def test_samples_without_an_answer_are_told(methods: dict[str, Shown]):
    exits = pd.DataFrame({"method": ["finetune", "pabee", "pabee", "pabee"], "exit": [4, 2, 1, 4],
                          "score_mean": 0.5, "unanswered": [0.0, 1.5, 30.0, 0.0]})  # fmt: skip
    assert unanswered_note(exits, methods).endswith(
        "(the mean over seeds): PABEE 30 at exit 1, 1.5 at exit 2."
    )
    assert unanswered_note(exits.assign(unanswered=0.0), methods) == ""
    assert unanswered_note(exits.assign(unanswered=float("nan")), methods) == ""  # an older folder


def test_forms_of_exits_are_told_where_there_are_several(results: Results, methods: dict[str, Shown]):
    points = results.points.assign(head="linear")
    assert heads_note(points, methods) == ""
    points.loc[points["method"] == "pabee", "head"] = "shared pooler"
    points.loc[points["method"] == "finetune", "head"] = "own pooler"  # static: it has no exits
    text = heads_note(points, methods)
    assert "shared pooler: PABEE" in text and "own pooler" not in text and "linear: " in text
