"""The words under the numbers: every column of the page that needs one has one."""

from __future__ import annotations

import pytest

from eebench.report.definitions import DEFINITIONS, PROTOCOLS
from eebench.report.selection import TARGET


@pytest.mark.parametrize(
    "term",
    ["Score", "Speed-up", "Layers speed-up", "Cost convention", "Operating point", "Static", "Default rule",
     "Pareto front", "Full", "Speed-up at -1 pt", "Score at 2x", "Area"],
)  # fmt: skip
def test_term_is_defined_once(term: str):
    assert sum(line.startswith(f"**{term}**") for line in DEFINITIONS) == 1


def test_the_target_is_the_one_that_is_used():
    line = next(line for line in DEFINITIONS if line.startswith("**Operating point**"))
    assert f"{TARGET:.2f}x" in line


def test_both_protocols_are_explained():
    assert set(PROTOCOLS) == {"paper", "blind"}
