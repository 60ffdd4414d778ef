"""Cells and tables: nothing from data is markup, numbers are written one way."""

from __future__ import annotations

import pandas as pd
import pytest

from eebench.report.markdown import (
    count,
    decimal,
    escape,
    integer,
    mega,
    percent,
    percent_with_spread,
    plain,
    signed,
    table,
    times,
)

NAN = float("nan")


class TestEscape:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a|b", r"a\|b"),
            ("<script>", "&lt;script&gt;"),
            ("R&D", "R&amp;D"),
            ("&lt;", "&amp;lt;"),
            ("*bold* `code`", r"\*bold\* \`code\`"),
            ("[text](url)", r"\[text\](url)"),
            ("back\\slash", r"back\\slash"),
            ("two_stage", "two_stage"),
            ("_slanted_", r"\_slanted\_"),
            ("a\nb", "a b"),
            ("$x^2$", r"\$x^2\$"),
            (3, "3"),
        ],
    )
    def test_markup_becomes_text(self, text: object, shown: str):
        assert escape(text) == shown


def test_plain_drops_what_xml_forbids():
    assert plain(" a\x00\x1bb\ud800c\uffff\u2028d\n") == "a b c d"


class TestTable:
    def test_sides_and_cells_as_given(self):
        text = table(["method", "params", "rule"], [["a", "1.00", "x"], ["bb", "12.5", "y"]], "lrl")
        assert text.splitlines() == [
            "| method   |   params | rule   |",
            "|:---------|---------:|:-------|",
            "| a        |     1.00 | x      |",
            "| bb       |     12.5 | y      |",
        ]

    def test_the_rest_is_flush_right(self):
        assert table(["a", "b", "c"], [["1", "2", "3"]]).splitlines()[1] == "|:----|----:|----:|"


class TestNumbers:
    def test_percent(self):
        assert [percent(score) for score in (0.913, 1.0, 0.0, -0.12, -0.0001, NAN)] == [
            "91.3", "100.0", "0.0", "-12.0", "0.0", "-",
        ]  # fmt: skip

    def test_percent_with_spread(self):
        assert percent_with_spread(0.913, 0.0042) == "91.3 ± 0.4"
        assert percent_with_spread(0.913, NAN) == "91.3"

    def test_times(self):
        assert (times(1.954), times(NAN)) == ("1.95x", "-")

    def test_decimal(self):
        assert (decimal(6.126, 2), decimal(NAN, 2)) == ("6.13", "-")

    def test_mega(self):
        assert (mega(1_811_939_328), mega(1536, 3), mega(pd.NA)) == ("1,811.9", "0.002", "-")

    def test_integer(self):
        assert (integer(7_087_872), integer(pd.NA)) == ("7,087,872", "-")

    def test_count(self):
        assert [count(n) for n in (109_483_778, 66_955, 512)] == ["109.5M", "67.0k", "512"]


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.0123, "+1.2"), (-0.0123, "-1.2"), (0.0001, "0.0"), (-0.0001, "0.0"), (NAN, "-")],
)
def test_differences_have_a_sign(difference: float, text: str):
    assert signed(difference) == text
