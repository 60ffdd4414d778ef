"""Layouts of papers: each is made of sections that exist, cut to what results have."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from eebench.errors import UserError
from eebench.reference.keys import BASE, COSTEFF_ABLATION, COSTEFF_MAIN, Key, printed_row
from eebench.report.layouts import ALL, LAYOUTS, known_layout, layout_sections
from eebench.results import Results
from eebench.sections import read_sections
from eebench.suites import load_suite


def with_labels(results: Results, labels: list[str], rules: tuple[str, ...] = ("entropy",)) -> Results:
    """Results of nothing but names."""
    return replace(results, runs=pd.DataFrame({"method": labels}), points=pd.DataFrame({"rule": rules}))


@pytest.mark.parametrize("name", LAYOUTS)
def test_with_everything_there_nothing_is_cut(results: Results, name: str):
    named = [label for section in LAYOUTS[name] for label in labels_of(section)]
    everything = with_labels(results, list(dict.fromkeys(named)), ("entropy", "max-prob", "cka"))
    found = layout_sections(name, everything)
    assert [section["kind"] for section in found] == [section["kind"] for section in LAYOUTS[name]]
    assert [section.title for section in read_sections(found)] == [asked["title"] for asked in LAYOUTS[name]]
    for section, asked in zip(found, LAYOUTS[name], strict=True):
        assert section == dict(asked) or asked["methods"] == [ALL]


def labels_of(section) -> list[str]:
    single = [section[key] for key in ("control", "reference", "level") if key in section]
    pairs = [run for entry in section.get("pairs", {}).values() for run in entry.values()]
    runs = [label for run in pairs for label in (run if isinstance(run, list) else [run])]
    return [*(label for label in section.get("methods", []) if label != ALL), *single, *runs]


def test_labels_that_are_not_there_are_left_out(results: Results):
    found = layout_sections("smartbert", with_labels(results, ["smartbert", "mine", "deebert"]))
    assert [(section["kind"], section["methods"]) for section in found] == [
        ("thresholds", ["deebert", "smartbert"]), ("skipping", ["smartbert"]), ("front", ["deebert", "smartbert"]),
        ("front", ["smartbert"]), ("front", ["smartbert"]),
    ]  # fmt: skip


def test_every_label_and_what_a_section_cannot_do_without(results: Results):
    found = layout_sections("costeff", with_labels(results, ["mine", "cost-eff-2x"]))
    assert [section["kind"] for section in found] == ["compression", "front"]
    assert found[0]["methods"] == ["mine", "cost-eff-2x"] and found[0]["speedups"] == {"cost-eff-2x": 2.4}
    found = layout_sections("csdbert", with_labels(results, ["csdbert", "csdbert-n3"], ("patience",)))
    assert [section["kind"] for section in found] == [
        "average",
        "sensitivity",
    ]  # no rule cka, no ablation, no reference


def test_pairs_rules_and_levels(results: Results):
    labels = ["first-1-pilot", "finetune-pilot", "finetune", "pabee", "deebert", *(
        f"pairwise-1-12-{name}" for name in ("joint", "deep-to-shallow", "shallow-to-deep", "mutual"))]  # fmt: skip
    found = {section["kind"]: section for section in layout_sections("gaml", with_labels(results, labels))}
    assert list(found["pairs"]["pairs"]) == ["1&12"]
    assert found["strategies"]["rules"] == ["entropy"] and found["strategies"]["methods"] == ["deebert"]
    assert found["layers"]["level"] == "finetune"
    other = layout_sections("gaml", with_labels(results, ["pabee"], ("patience",)))
    assert [section["kind"] for section in other] == ["layers", "training-steps"]
    assert "level" not in other[0]


def test_an_unknown_layout():
    with pytest.raises(UserError) as caught:
        known_layout("gamel")
    assert str(caught.value) == (
        "unknown layout 'gamel'; did you mean 'gaml'?  there are gaml, csdbert, smartbert, costeff."
    )
    assert known_layout("gaml") == "gaml"


def test_ablations_of_a_size_are_compared_at_the_speed_that_the_paper_holds():
    # COST-EFF, Table 4: the whole method's scores there are Table 3's, printed at 19.0x.
    whole = printed_row(Key(COSTEFF_MAIN, "cost-eff-8x", BASE, "mrpc"))
    again = printed_row(Key(COSTEFF_ABLATION, "cost-eff-8x", BASE, "mrpc", "repeated from Table 3"))
    (section,) = (one for one in LAYOUTS["costeff"] if one["kind"] == "comparison")
    assert whole["score"] == again["score"] and section["speedup"] == whole["speedup"] == 19.0
    suite = load_suite("costeff")
    (same,) = (one for one in suite.sections if one.kind == "comparison")
    assert same.speedup == 19.0
