"""Two backbones in one section: `toy` with a full model, `side/small` with a tenth more and half of its FLOPs."""

from dataclasses import replace

import pytest

from eebench.report import render_report
from eebench.report.sections.compression import compression
from eebench.report.sections.front import front
from eebench.report.sections.ground import Drawing, grounds
from eebench.report.sections.layers import layers
from eebench.report.sections.shapes import shapes
from eebench.report.sections.together import together, whose
from eebench.report.selection import apart, distinguish, shown_methods
from eebench.results import read_results

BOTH = ["toy", "side/small"]
CHOSEN = ["finetune", "gaml", "lost"]


def found_in(folder):
    results, held = apart(distinguish(read_results(folder)))
    return list(grounds(results, held, shown_methods(results)))


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_rows_of_both_are_against_the_first_full_model(both, section):
    asked = section(kind="compression", methods=["finetune", "gaml"], backbones=BOTH, speedups={"gaml": 4.0})
    named, ground = together(asked, found_in(both([])))
    assert named.methods == ["finetune", "gaml", "gaml@side/small"]
    assert named.speedups == {"gaml": 4.0, "gaml@side/small": 4.0}
    text, _ = compression(named, ground)
    # gaml at patience=2 takes 1e9 / 2.0 FLOPs of the full 1e9 on toy, half of that elsewhere; 1000 and 500 parameters.
    assert rows(text) == [
        ["Fine-tuned", "1.0k", "4.0", "1.00x", "1.00x", "45.0"],
        ["GAML-BERT", "1.0k", "4.0", "1.00x", "2.00x", "38.0 ± 1.0"],
        ["GAML-BERT, small", "500", "4.0", "2.00x", "4.00x", "48.0 ± 1.0"],
    ]
    assert ground.origin("gaml@side/small") == ("gaml", "side/small") and ground.origin("gaml") == (
        "gaml",
        "toy",
    )
    assert whose(ground).startswith("Rows and curves that name no backbone are of toy,")


def test_printed_rows_are_those_of_each_checkpoint(both, section):
    first, second = (replace(ground, backbone=name) for ground, name in
                     zip(found_in(both([])), ("bert-base-uncased", "fnlp/elasticbert-base"), strict=True))  # fmt: skip
    renamed = {"gaml": "cost-eff-8x"}
    grounds_of_mnli = [
        replace(ground, **{name: getattr(ground, name).assign(task="mnli").replace({"base": renamed})
                           for name in ("points", "exits", "runs")})
        for ground in (first, second)
    ]  # fmt: skip
    for ground in grounds_of_mnli:
        ground.exits["metric"] = "accuracy"
    asked = section(kind="compression", methods=["finetune", "cost-eff-8x"],
                    backbones=["bert-base-uncased", "fnlp/elasticbert-base"])  # fmt: skip
    text, _, note = compression(*together(asked, grounds_of_mnli))
    # Table 3 has BERT-base's two, Table 5 the one of ElasticBERT, whose reductions are lost.
    assert [(row[4], row[6], row[8]) for row in rows(text)] == [
        ("1.0x", "1.0x", "84.4"), ("7.9x", "19.0x", "81.3"), ("-", "-", "81.6"),
    ]  # fmt: skip
    assert "COST-EFF (Table 3), COST-EFF (Table 5)" in note


def test_figures_have_a_curve_for_each(both, section):
    found = found_in(both([]))
    asked = section(kind="front", methods=CHOSEN, backbones=BOTH, score_share=0.95, cost_share=0.05)
    (figure,) = front(*together(asked, found))
    assert isinstance(figure, Drawing)
    for words in (
        b">GAML-BERT, patience<",
        b">GAML-BERT, small, patience<",
        b">95% of the score: Fine-tuned<",
    ):
        assert words in figure.svg
    asked = section(kind="layers", methods=["gaml"], level="finetune", level_shares=[0.9], backbones=BOTH)
    figure, text = layers(*together(asked, found))
    # 90% of 45.0 are 40.5: 43.0 at exit 6 of toy; 23, 33 and 43 and a tenth more at exits 2, 4 and 6 of the other.
    assert rows(text) == [["GAML-BERT", "none", "6", "43.0"], ["GAML-BERT, small", "6", "4", "53.0"]]
    assert b">GAML-BERT, small<" in figure.svg


def test_sizes_of_both(both, section):
    asked = section(kind="shapes", methods=["finetune", "gaml-small"], backbones=BOTH)
    first, second = found_in(both([]))
    planned = second.runs.replace({"base": {"gaml": "gaml-small"}})
    text, _ = shapes(*together(asked, [first, replace(second, runs=planned)]))
    assert [row[0] for row in rows(text)] == [
        "Fine-tuned",
        "GAML-BERT (gaml-small)",
        "GAML-BERT (gaml-small), small",
    ]


def test_without_the_first_full_model_speed_ups_come_from_its_points(both, section):
    found = found_in(both([], drop=("finetune",)))
    _, ground = together(section(kind="compression", methods=["gaml"], backbones=BOTH), found)
    assert ground.full("cola") is None
    assert ground.nearest("gaml@side/small", "cola", 4.0)["speedup_flops"] == pytest.approx(4.0)


def test_without_a_point_of_the_first_there_is_nothing_to_compare_with(both, section):
    first, second = found_in(both([]))
    empty = replace(first, points=first.points.iloc[:0], exits=first.exits.iloc[:0])
    named, ground = together(section(kind="compression", methods=CHOSEN, backbones=BOTH), [empty, second])
    assert list(compression(named, ground)) == []
    assert ground.points["speedup_flops"].isna().all()


def page_of(folder):
    render_report(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_page(both):
    sections = [
        {"kind": "front", "title": "Both", "methods": ["gaml", "lost"], "backbones": BOTH,
         "missing": {"A<B>": "which nobody has"}},
        {"kind": "layers", "title": "One", "methods": ["gaml"], "backbones": ["side/small"]},
        {"kind": "layers", "title": "Each", "methods": ["gaml"]},
        {"kind": "layers", "title": "Where it is", "methods": ["pabee"]},
        {"kind": "layers", "title": "Nowhere", "methods": ["gone"], "backbones": BOTH},
    ]  # fmt: skip
    page = page_of(both(sections))
    parts = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    assert "section-1-front-cola-toy.svg" in parts["Both"] and "Rows and curves that name no" in parts["Both"]
    assert "Not here: A&lt;B&gt;, which nobody has." in parts["Both"]
    assert "Without a result: lost on cola." in parts["Both"] and "###" not in parts["Both"]
    assert "section-2-layers-cola-side-small.svg" in parts["One"] and "toy" not in parts["One"]
    assert "### toy" in parts["Each"] and "### side/small" in parts["Each"]
    # pabee was never to be run on the second one.
    assert (
        "section-4-layers-cola-toy.svg" in parts["Where it is"] and "side/small" not in parts["Where it is"]
    )
    assert "Nothing to show" in parts["Nowhere"] and "Without a result: gone." in parts["Nowhere"]
