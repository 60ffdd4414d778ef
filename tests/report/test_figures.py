"""Figures: what is drawn, the same bytes twice, and names that stay names."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import matplotlib as mpl
import pandas as pd
import pytest

from eebench.report.figures import Caption, Guides, front_svg, layers_svg, looks
from eebench.report.selection import Shown, default_points, shown_methods
from eebench.results import Results

CAPTION = Caption("RTE, bert", "accuracy on dev", "full_2mac@128")
HOSTILE = "<b>A|B</b> & $x^2$ [l](u)"


def texts(svg: bytes) -> list[str]:
    """Every text of an SVG, as a reader sees it; fails unless it is well-formed XML."""
    root = ET.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def methods(results: Results) -> dict[str, Shown]:
    return shown_methods(results)


@pytest.fixture
def points(results: Results, methods: dict[str, Shown]) -> pd.DataFrame:
    shown = default_points(results.points, methods)
    return shown[shown["task"] == "RTE"]


@pytest.fixture
def exits(results: Results) -> pd.DataFrame:
    return results.exits[results.exits["task"] == "RTE"]


class TestFront:
    def test_legend_axes_and_title(self, points: pd.DataFrame, methods: dict[str, Shown]):
        words = texts(front_svg(points, methods, CAPTION))
        assert {"RTE, bert", "accuracy on dev (%)", "FLOPs per sample (MFLOP, full_2mac@128)"} <= set(words)
        legend = [word for word in words if word in {"Fine-tuned", "PABEE, patience", "Pareto front"}]
        assert legend == ["Fine-tuned", "PABEE, patience", "Pareto front"]

    def test_speedups_stand_above(self, points: pd.DataFrame, methods: dict[str, Shown]):
        words = texts(front_svg(points, methods, CAPTION))
        assert {"1x", "1.25x", "1.5x", "2x", "speed-up in FLOPs"} <= set(words)
        # The cheapest point is at 0.42 of the full cost, so 3x is outside.
        assert "3x" not in words

    def test_no_speedup_no_axis_above(self, points: pd.DataFrame, methods: dict[str, Shown]):
        words = texts(front_svg(points.assign(speedup_flops=float("nan")), methods, CAPTION))
        assert "speed-up in FLOPs" not in words

    def test_large_costs_are_in_giga(self, points: pd.DataFrame, methods: dict[str, Shown]):
        dear = points.assign(flops_per_sample=points["flops_per_sample"] * 22)
        assert "FLOPs per sample (GFLOP, full_2mac@128)" in texts(front_svg(dear, methods, CAPTION))

    def test_a_hostile_name_is_text(self, points: pd.DataFrame, methods: dict[str, Shown]):
        svg = front_svg(points, methods, Caption(HOSTILE, "m", "c"))
        assert HOSTILE in texts(svg)
        assert b"<b>" not in svg

    def test_a_point_without_a_score_is_left_out(self, points: pd.DataFrame, methods: dict[str, Shown]):
        some = points.assign(score_mean=points["score_mean"].where(points["method"] != "pabee"))
        assert "PABEE, patience" not in texts(front_svg(some, methods, CAPTION))


class TestLayers:
    def test_lines_and_the_level_of_the_full_model(self, exits: pd.DataFrame, methods: dict[str, Shown]):
        words = texts(layers_svg(exits, methods, CAPTION))
        legend = [word for word in words if word.startswith(("PABEE", "Fine-tuned"))]
        assert legend == ["PABEE", "Fine-tuned (full)"]
        assert "exit (after layer)" in words

    def test_nothing_without_a_method_of_several_exits(self, exits: pd.DataFrame, methods: dict[str, Shown]):
        assert layers_svg(exits[exits["method"] == "finetune"], methods, CAPTION) == b""

    def test_without_a_full_model_there_is_no_level(self, exits: pd.DataFrame, methods: dict[str, Shown]):
        words = texts(layers_svg(exits[exits["method"] == "pabee"], methods, CAPTION))
        assert "Fine-tuned (full)" not in words


class TestBytes:
    def test_twice_the_same(self, points: pd.DataFrame, exits: pd.DataFrame, methods: dict[str, Shown]):
        assert front_svg(points, methods, CAPTION) == front_svg(points, methods, CAPTION)
        assert layers_svg(exits, methods, CAPTION) == layers_svg(exits, methods, CAPTION)

    def test_the_settings_of_the_user_neither_matter_nor_change(
        self, points: pd.DataFrame, methods: dict[str, Shown]
    ):
        plain = front_svg(points, methods, CAPTION)
        with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
            assert front_svg(points, methods, CAPTION) == plain
            assert mpl.rcParams["font.size"] == 30

    def test_no_date_no_version_no_trailing_blanks(self, points: pd.DataFrame, methods: dict[str, Shown]):
        svg = front_svg(points, methods, CAPTION)
        assert b"dc:date" not in svg and b"Matplotlib v" not in svg
        assert svg.endswith(b"\n")
        assert not any(line.endswith((b" ", b"\r")) for line in svg.splitlines())

    def test_control_characters_do_not_break_the_xml(self, points: pd.DataFrame, methods: dict[str, Shown]):
        assert "a b" in texts(front_svg(points, methods, Caption("a\x00\x1bb", "m", "c")))

    def test_a_leading_underscore_does_not_hide_a_line(self, points: pd.DataFrame, methods: dict[str, Shown]):
        hidden = methods | {"pabee": Shown("pabee", "_pabee", "", "patience", False)}
        assert "_pabee, patience" in texts(front_svg(points, hidden, CAPTION))

    def test_a_long_name_is_cut(self, points: pd.DataFrame, methods: dict[str, Shown]):
        long = methods | {"pabee": Shown("pabee", "x" * 200, "", "patience", False)}
        assert "x" * 33 + "…" in texts(front_svg(points, long, CAPTION))


class TestLooks:
    def test_many_methods_are_all_different(self):
        many = {str(n): Shown(str(n), str(n), "", "r", static=n % 4 == 0) for n in range(40)}
        found = looks(many)
        assert list(found) != [] and len(set(found.values())) == 40

    def test_singles_do_not_use_up_colours(self):
        shown = {name: Shown(name, name, "", "r", static=name == "a") for name in "abc"}
        alone = {name: shown[name] for name in "bc"}
        assert {name: look for name, look in looks(shown).items() if name != "a"} == looks(alone)


class TestGuides:
    def test_lines_that_there_are(self, points: pd.DataFrame, methods: dict[str, Shown]):
        plain = front_svg(points, methods, CAPTION)
        assert front_svg(points, methods, CAPTION, Guides()) == plain
        cost = float(points["flops_per_sample"].max()) / 2
        both = texts(
            front_svg(points, methods, CAPTION, Guides(0.5, "half the score", cost, "half the FLOPs"))
        )
        assert {"half the score", "half the FLOPs"} <= set(both)
        one = texts(front_svg(points, methods, CAPTION, Guides(cost=cost, cost_label="half the FLOPs")))
        assert "half the FLOPs" in one and "half the score" not in one


class TestLevel:
    def test_another_method_is_the_level(self, exits: pd.DataFrame, methods: dict[str, Shown]):
        assert "Fine-tuned (full)" in texts(layers_svg(exits, methods, CAPTION))
        assert "Fine-tuned (full)" not in texts(layers_svg(exits, methods, CAPTION, ""))
