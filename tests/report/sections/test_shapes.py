from dataclasses import replace

import pandas as pd

from eebench.report.sections.shapes import between, shapes


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def on(ground, backbone):
    """The ground as one of another backbone."""
    return replace(ground, backbone=backbone)


def test_sizes_of_each_model(ground, section):
    text, meaning = shapes(
        section(kind="shapes", methods=["gaml-small", "finetune", "pabee", "lost"]), ground
    )
    # gaml-small has one head and 8 inner neurons per layer, and exits before the last; pabee has no rows.
    assert rows(text) == [
        ["GAML-BERT (gaml-small)", "6", "32", "1 x 16", "8-48", "yes"],
        ["Fine-tuned", "6", "32", "2 x 16", "64", "no"],
    ]
    assert meaning.startswith("Heads: ")


def test_the_printed_sizes_of_the_same_checkpoint(ground, section):
    text, _, note = shapes(
        section(kind="shapes", methods=["finetune", "smartbert"]), on(ground, "bert-base-uncased")
    )
    assert rows(text) == [
        ["Fine-tuned", "6", "12", "32", "768", "2 x 16", "12 x 64", "64", "3072", "no", "no"],
        ["SmartBERT", "6", "-", "32", "-", "2 x 16", "-", "64", "-", "yes", "-"],
    ]
    assert note.startswith("Printed: by COST-EFF (Table 2), for bert-base-uncased")
    text, _, note = shapes(
        section(kind="shapes", methods=["finetune"]), on(ground, "google/bert_uncased_L-8_H-256_A-4")
    )
    assert rows(text)[0][1:5] == ["6", "8", "32", "256"] and "bert_uncased_L-8_H-256_A-4" in note


def test_students_of_bert_have_the_size_of_the_released_ones(ground, section):
    student = ground.layers[ground.layers["base"] == "finetune"].assign(base="tinybert4")
    with_student = replace(ground, layers=student, backbone="bert-base-uncased")
    text, *_ = shapes(section(kind="shapes", methods=["tinybert4"]), with_student)
    assert rows(text) == [["tinybert4", "6", "4", "32", "312", "2 x 16", "12 x 26", "64", "1200", "no", "no"]]
    text, _ = shapes(section(kind="shapes", methods=["tinybert4"]), replace(with_student, backbone="toy"))
    assert rows(text) == [["tinybert4", "6", "32", "2 x 16", "64", "no"]]


def test_a_size_that_is_not_known_is_a_dash(ground, section):
    unknown = ground.layers.assign(heads=pd.array([None] * len(ground.layers), dtype="Int64"))
    text, _ = shapes(section(kind="shapes", methods=["finetune"]), replace(ground, layers=unknown))
    assert rows(text) == [["Fine-tuned", "6", "32", "-", "64", "no"]]
    assert between(pd.Series([3, 3])) == "3" and between(pd.Series([5, 3])) == "3-5"


def test_nothing_to_show(ground, section):
    assert list(shapes(section(kind="shapes", methods=["lost"]), ground)) == []
    without = replace(ground, layers=ground.layers.iloc[:0])
    assert list(shapes(section(kind="shapes", methods=["finetune"]), without)) == []
