"""What is shown: default rules, static methods, and operating points that no score can move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from eebench.report.selection import (
    Shown,
    default_points,
    distinguish,
    headlined,
    headlines,
    is_off_target,
    is_static,
    operating_point,
    shown_methods,
    without_variants,
)
from eebench.report.tables import metrics_table
from eebench.results import Results

HOSTILE = "<b>A|B</b> & $x^2$ [l](u)"


def curve(*speedups: float | None) -> pd.DataFrame:
    """A curve of one method; scores rise against the choice, so that choosing by score would show."""
    return pd.DataFrame(
        {
            "setting": [f"S={index}" for index in range(len(speedups))],
            "speedup_flops": [float("nan") if speedup is None else speedup for speedup in speedups],
            "score_mean": [0.9 - 0.1 * index for index in range(len(speedups))],
        },
        # Parts of a larger table keep its index.
        index=range(40, 40 + len(speedups)),
    )


class TestOperatingPoint:
    @pytest.mark.parametrize(
        ("speedups", "chosen"),
        [
            ((1.0, 1.79, 1.85, 2.0, 2.1, 3.0), 2.0),
            ((1.2, 1.8, 1.81), 1.81),
            ((2.1, 2.2), 2.1),
            ((1.79, 2.11), 2.11),
            ((1.5, 2.6), 1.5),
            ((1.0,), 1.0),
            ((None, 4.0), 4.0),
        ],
    )
    def test_nearest_to_two(self, speedups: tuple[float | None, ...], chosen: float):
        point = operating_point(curve(*speedups))
        assert point is not None
        assert point["speedup_flops"] == chosen

    def test_of_equals_the_first(self):
        point = operating_point(curve(1.0, 1.9, 1.9))
        assert point is not None
        assert point["setting"] == "S=1"

    def test_without_speedups_there_is_none(self):
        assert operating_point(curve(None, None)) is None

    def test_scores_do_not_matter(self):
        before = curve(1.0, 1.85, 2.05)
        after = before.assign(score_mean=[0.1, 0.2, 0.99])
        first, second = operating_point(before), operating_point(after)
        assert first is not None and second is not None
        assert first["setting"] == second["setting"] == "S=2"


@pytest.mark.parametrize(
    ("static", "speedup", "off"),
    [(False, 1.79, True), (False, 1.8, False), (False, 2.2, True), (True, 1.0, False)],
)
def test_only_dynamic_methods_can_be_off_target(static: bool, speedup: float, off: bool):
    method = Shown("m", "M", "", "entropy", static)
    assert is_off_target(pd.Series({"speedup_flops": speedup}), method) is off


class TestIsStatic:
    def points(self, **changes: Any) -> pd.DataFrame:
        base = {"task": ["a", "b"], "backbone": "x", "rule": "budgeted", "setting": ["exit=6", "exit=6"]}
        return pd.DataFrame(base | changes)

    def test_one_exit_per_model(self):
        assert is_static(self.points())

    def test_the_exit_may_differ_between_models(self):
        assert is_static(self.points(setting=["exit=6", "exit=12"]))

    def test_two_settings_of_one_model_are_a_choice(self):
        assert not is_static(self.points(task="a", setting=["exit=6", "exit=12"]))

    def test_another_rule_is_dynamic(self):
        assert not is_static(self.points(rule=["budgeted", "entropy"]))


class TestShownMethods:
    def test_order_titles_and_rules(self, results: Results):
        methods = shown_methods(results)
        assert list(methods) == ["finetune", "pabee", HOSTILE]
        assert methods["pabee"] == Shown("pabee", "PABEE", "Zhou et al., NeurIPS 2020", "patience", False)
        assert methods["finetune"].static
        # Undeclared: its own name, and the first rule it was swept with.
        assert methods[HOSTILE] == Shown(HOSTILE, HOSTILE, "", "entropy", False)

    def test_a_default_rule_that_was_not_swept_gives_way(self, results: Results):
        about = {"methods": {"pabee": {"default_rule": "cka"}}}
        assert shown_methods(replace(results, provenance=about))["pabee"].rule == "budgeted"

    @pytest.mark.parametrize(
        ("declared", "rule", "settings"),
        [
            ("cka;theta=0.06", "cka;theta=0.06", ["theta=0.06;R=2", "theta=0.06;R=1"]),
            ("cka;theta=0.5", "cka", ["theta=0.06;R=2", "theta=0.06;R=1", "theta=0;R=1"]),
        ],
    )
    def test_a_rule_with_knobs_has_the_points_with_them(
        self, results: Results, declared: str, rule: str, settings: list[str]
    ):
        swept = ["exit=4", "theta=0.06;R=2", "theta=0.06;R=1", "theta=0;R=1"]
        points = results.points[results.points["method"] == "pabee"].iloc[: len(swept)]
        points = points.assign(setting=swept, rule=["budgeted", "cka", "cka", "cka"])
        about = {"methods": {"pabee": {"default_rule": declared}}}
        methods = shown_methods(replace(results, provenance=about, points=points))
        assert methods["pabee"].rule == rule
        assert default_points(points, methods)["setting"].tolist() == settings

    def test_one_title_for_two_methods_is_told_apart(self, results: Results):
        about = {"methods": {"finetune": {"title": "BERT"}, "pabee": {"title": "BERT"}}}
        titles = [method.title for method in shown_methods(replace(results, provenance=about)).values()]
        assert titles[:2] == ["BERT", "BERT (pabee)"]

    def test_a_provenance_of_another_shape_declares_nothing(self, results: Results):
        methods = shown_methods(replace(results, provenance={"methods": ["pabee"]}))
        assert methods["pabee"].title == "pabee"

    def test_default_points(self, results: Results):
        shown = default_points(results.points, shown_methods(results))
        pairs = list(dict.fromkeys(zip(shown["method"], shown["rule"], strict=True)))
        assert pairs == [("finetune", "budgeted"), ("pabee", "patience"), (HOSTILE, "entropy")]


class TestDistinguish:
    def test_two_heads_of_a_method_are_two_methods(self, results: Results):
        def with_two_heads(table: pd.DataFrame) -> pd.DataFrame:
            twin = table[table["base"] == "pabee"].assign(head="none")
            return pd.concat([table, twin], ignore_index=True).assign(method=lambda t: t["base"])

        doubled = replace(
            results,
            points=with_two_heads(results.points),
            exits=with_two_heads(results.exits),
            runs=with_two_heads(results.runs),
        )
        split = distinguish(doubled)
        names = ["finetune", "pabee (own pooler, cls)", HOSTILE, "pabee (none, cls)"]
        assert list(shown_methods(split)) == names
        assert shown_methods(split)["pabee (none, cls)"].title == "PABEE (none, cls)"
        assert set(split.exits["method"]) == set(split.runs["method"]) == set(names)

    def test_otherwise_names_stay(self, results: Results):
        assert (results.points["method"] == results.points["base"]).all()


@pytest.mark.parametrize(("several", "left"), [(15, 17), (14, 16)])
def test_a_figure_of_many_methods_leaves_variants_out(several, left):
    names = [*(f"m{number}" for number in range(several)), "gaml", "gaml-hard"]
    rows = pd.DataFrame({"method": names, "base": names})
    methods = {name: {"method": "gaml" if name.startswith("gaml") else name} for name in names}
    results = Results(**{**dict.fromkeys(Results.__dataclass_fields__), "provenance": {"methods": methods}})
    shown = list(without_variants(rows, results)["method"])
    assert len(names) == left
    assert shown == (names[:-1] if left > 16 else names)


def accurate(results):
    """The rows whose metric is accuracy."""
    points, exits = (table[table["metric"] == "accuracy"] for table in (results.points, results.exits))
    return replace(results, points=points, exits=exits)


def with_f1(results):
    """The same results with half of each score as a second metric."""
    both = {
        name: pd.concat(
            [table, table.assign(metric="f1", score_mean=table["score_mean"] / 2)], ignore_index=True
        )
        for name, table in (("points", results.points), ("exits", results.exits))
    }
    return replace(results, **both)


def test_a_task_is_shown_by_its_headline(results):
    results = accurate(results)
    both = with_f1(results)
    # Without a word in the provenance the first metric of the rows leads.
    assert set(headlines(both).values()) == {"accuracy"}
    assert headlined(both).points.reset_index(drop=True).equals(results.points.reset_index(drop=True))
    tasks = {task: {"metric": "f1"} for task in results.points["task"].unique()}
    named = replace(both, provenance={**both.provenance, "tasks": tasks})
    assert set(headlined(named).exits["metric"]) == {"f1"}
    odd = replace(both, provenance={**both.provenance, "tasks": {task: {"metric": "gone"} for task in tasks}})
    assert set(headlines(odd).values()) == {"accuracy"}


def test_the_page_has_the_other_metrics_of_its_points(results):
    results = accurate(results)
    methods, every = shown_methods(results), with_f1(results)
    one = results.points[results.points["backbone"] == results.points["backbone"].iloc[0]]
    text = metrics_table(one, every, methods)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    # From the right, as a title may hold the separator.
    assert {row[-3] for row in rows} == {"accuracy", "F1"}
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first[:-3] == second[:-3]
        assert float(second[-1]) == pytest.approx(float(first[-1]) / 2, abs=0.051)
    assert metrics_table(one, results, methods) == ""
