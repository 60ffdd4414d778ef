import math

import pytest

from eebench.report.sections.comparison import comparison, difference
from eebench.report.sections.ground import Drawing


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_differences_are_paired_by_seed(ground):
    found = difference(ground, "cola", "gaml", "pabee")
    # Seeds 1 and 2 have both: +0.02 and +0.04; seed 3 has no partner.
    assert (found.mean, found.seeds) == (pytest.approx(0.03), 2)
    assert found.std == pytest.approx(0.02 / math.sqrt(2))
    assert difference(ground, "cola", "lost", "pabee").seeds == 0


def test_the_control_comes_first(ground, section):
    asked = section(kind="comparison", control="pabee", methods=["gaml", "lost"])
    text, figure, _ = comparison(asked, ground)
    assert rows(text) == [
        ["PABEE", "30.0 ± 1.4", "control", "2", "35.0 ± 1.0", "1.90x", "40.0 ± 1.0"],
        ["GAML-BERT", "34.0 ± 2.6", "+3.0 ± 1.4", "2", "38.0 ± 1.0", "2.00x", "43.0 ± 1.0"],
    ]
    assert isinstance(figure, Drawing) and b">PABEE<" in figure.svg and b">GAML-BERT<" in figure.svg


def test_without_means_by_seed_there_is_no_difference(ground, section):
    old = type(ground)(**{**vars(ground), "runs": ground.runs.assign(exit_mean=math.nan)})
    text, *_ = comparison(section(kind="comparison", control="pabee", methods=["gaml"]), old)
    assert rows(text)[1][1:4] == ["33.0", "-", "0"]


def test_without_results(ground, section):
    assert list(comparison(section(kind="comparison", control="lost", methods=["lost"]), ground)) == []


def test_what_a_paper_printed_for_the_one_option_that_differs(ground, section):
    tables = {name: getattr(ground, name).assign(task="rte").replace({"matthews": "accuracy"})
              for name in ("points", "exits", "runs", "held")}  # fmt: skip
    options = {"csdbert": {"alpha": 0.01, "beta": 1.0}, "pabee": {"alpha": 0.0, "beta": 1.0},
               "gaml": {"alpha": 0.0, "beta": 0.0}}  # fmt: skip
    about = {label: {"method": "csdbert", "title": label, "options": one} for label, one in options.items()}
    other = type(ground)(**{**vars(ground), **tables, "about": about})
    asked = section(kind="comparison", control="csdbert", methods=["pabee", "gaml"])
    text, _, _, printed = comparison(asked, other)
    assert text.splitlines()[0].rstrip("| ").endswith("at twice the speed: printed")
    # CsdBERT, Table 5: the whole method, without contrast (alpha = 0); nothing is printed without both.
    assert [row[-1] for row in rows(text)] == ["73.3", "70.4", "-"]
    assert printed.startswith("Printed: by CsdBERT")


def test_a_control_has_no_row_of_a_table_that_does_not_change_it(ground, section):
    # COST-EFF's Table 5 and SmartBERT's Table 3 repeat BERT's row; they compare nothing with it.
    tables = {name: getattr(ground, name).assign(task="mrpc") for name in ("points", "exits", "runs")}
    other = type(ground)(**{**vars(ground), **tables})
    text, *_ = comparison(section(kind="comparison", control="finetune", methods=["pabee"]), other)
    assert "printed" not in text


def test_the_point_nearest_to_the_speed_that_the_section_names(ground, section):
    # PABEE was swept at 3.0x and 1.9x, GAML-BERT under its own rule at 2.0x alone.
    asked = section(kind="comparison", control="pabee", methods=["gaml"], speedup=19.0)
    text, *_ = comparison(asked, ground)
    assert "nearest to 19x" in text.splitlines()[0] and "twice" not in text
    assert [row[4:6] for row in rows(text)] == [["25.0 ± 1.0", "3.00x"], ["38.0 ± 1.0", "2.00x"]]


@pytest.mark.parametrize("speedup", [0.0, -2.0, math.inf, math.nan])
def test_a_speed_is_above_zero(section, speedup):
    with pytest.raises(ValueError):
        section(kind="comparison", control="pabee", methods=["gaml"], speedup=speedup)


def test_exits_of_another_form_than_the_controls_are_named(ground, section):
    exits = ground.exits.copy()
    exits.loc[exits["base"] == "gaml", "head"] = "fastbert attention"
    other = type(ground)(**{**vars(ground), "exits": exits})
    _, told, *_ = comparison(
        section(kind="comparison", control="pabee", methods=["gaml", "gaml-small"]), other
    )
    assert told.endswith("(own pooler), which a difference shows too: GAML-BERT (fastbert attention).")
