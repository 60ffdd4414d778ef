from dataclasses import replace

import pandas as pd

from eebench.reference.keys import (
    CSDBERT_GLUE,
    GAML_ALPHA,
    GAML_PAIRS,
    GAML_STEPS,
    SMARTBERT_MAIN,
    Key,
    Table,
)
from eebench.report.sections.printed import beside, cell, column, in_their_metric, note, paper_of

ALPHA = beside(Key(GAML_ALPHA, "gaml", "toy", "cola", "alpha=0.3"))


def steps(method):
    return beside(
        Key(GAML_STEPS, method, "toy", "cola", "steps until early stopping", quantity="training_steps")
    )


def test_a_column_is_there_when_a_paper_has_a_number():
    assert column("a|b", [None, ALPHA]) == (["a\\|b: printed"], [["-"], ["51.1"]])
    assert column("cola", [None, None]) == ([], [[], []])
    assert paper_of([None, ALPHA]) == "GAML-BERT" and paper_of([]) == ""


def test_cells():
    assert cell(steps("fastbert"), 0) == "2,000*"  # its label is in doubt
    assert cell(steps("pabee"), 0) == "2,100"
    assert cell(beside(Key(GAML_PAIRS, "finetune", "toy", "sst2", "pilot"))) == "-"  # lost in the text


def test_the_note_names_each_table_and_checkpoint_once():
    (text,) = note([None, ALPHA, ALPHA])
    assert text.startswith("Printed: by GAML-BERT (Table 3), for bert-base-uncased under its own protocol")
    assert list(note([None])) == []


def test_a_row_of_another_name_is_named():
    row = beside(Key(Table("COST-EFF", 3), "tinybert6", "toy", "mrpc"))
    assert list(note([row, row]))[1:] == [
        "Beside tinybert6 stands the row that COST-EFF prints as TinyBERT6 w/o GD: ours has no general distillation "
        "either."
    ]


def test_a_doubt_marks_the_cell_it_names():
    row = beside(
        Key(SMARTBERT_MAIN, "smartbert", "toy", "rte", setting="S=0.1")
    )  # "flops: 249M more than ..."
    assert (cell(row), cell(row, 0, "flops"), cell(row, 0, "cost_percent")) == ("60.6", "12,684*", "58")
    assert column("rte MFLOPs", [row], 0, "flops") == (["rte MFLOPs: printed"], [["12,684*"]])


QQP = beside(Key(CSDBERT_GLUE, "csdbert", "toy", "qqp"))  # the mean of accuracy and F1


def qqp(ground, *metrics):
    """The ground as one of qqp under the first metric, with the others 0.1, 0.2, ... above it."""
    tables = {}
    for name in ("points", "exits", "simple"):
        rows = getattr(ground, name).assign(task="qqp")
        tables[name] = [rows.assign(metric=metric, score_mean=rows["score_mean"] + 0.1 * place)
                        for place, metric in enumerate(metrics)]  # fmt: skip
    return replace(
        ground,
        **{name: parts[0] for name, parts in tables.items()},
        every={name: pd.concat(parts) for name, parts in tables.items()},
    )


def test_ours_are_shown_in_the_metric_that_is_printed(ground):
    same, rows, words = in_their_metric(qqp(ground, "f1", "acc_f1"), "qqp", [None, QQP])
    assert words == "qqp (mean of accuracy and F1)" or "F1" in words
    assert round(same.operating("gaml", "qqp")["score_mean"], 6) == 0.48  # 0.38, and 0.1 above it
    assert round(same.exit_score("gaml", "qqp", 6).mean, 6) == 0.53
    assert rows[0] is None and cell(rows[1]) == "90.0" and len(list(note(rows))) == 1


def test_a_printed_metric_that_we_do_not_have_is_marked(ground):
    mine = qqp(ground, "f1", "accuracy")
    same, rows, words = in_their_metric(mine, "qqp", [QQP])
    assert same is mine and words == "qqp" and cell(rows[0]) == "90.0†"
    assert list(note(rows))[-1].startswith("† marks")
    assert cell(in_their_metric(qqp(ground, "acc_f1"), "qqp", [QQP])[1][0]) == "90.0"
