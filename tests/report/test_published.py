from itertools import pairwise

import pandas as pd

from eebench.report.published import WHY, published_tables
from eebench.report.selection import Shown


def points(method, task, metric="f1", backbone="toy"):
    """Two settings of one method; the operating point is the one at 2x."""
    rows = [("S=0.1", 0.88, 1.2), ("S=0.5", 0.861, 2.0)]
    return pd.DataFrame(
        [
            {
                "task": task, "method": method, "rule": "entropy", "setting": setting, "metric": metric,
                "backbone": backbone,
                "score_mean": score, "speedup_flops": speedup, "seeds": 1,
            }
            for setting, score, speedup in rows
        ]
    )  # fmt: skip


def shown(name):
    return {name: Shown(name=name, title=name.title(), paper="", rule="entropy", static=False)}


def test_a_papers_number_stands_beside_ours():
    blocks = list(published_tables(points("deebert-joint", "mrpc"), shown("deebert-joint")))
    gaml = blocks[1]
    assert "GAML-BERT" in blocks[0]
    assert "mrpc: GAML-BERT |   their speed-up |   mrpc: ours |   our speed-up |" in gaml
    row = gaml.splitlines()[-1]
    assert "1.88x" in row and "85.8" in row and "86.1" in row and "2.00x" in row


def test_the_papers_are_never_averaged_and_the_reason_for_a_gap_is_given():
    papers = [block for block in published_tables(points("pabee", "rte"), shown("pabee")) if "**" in block]
    assert len(papers) == 2  # GAML-BERT and CsdBERT, each in a table of its own
    assert "another backbone" in WHY


def test_methods_and_tasks_that_nobody_published_have_no_table():
    assert not list(published_tables(points("joint", "rotten_tomatoes"), shown("joint")))


def test_a_score_of_another_metric_is_marked():
    same = "".join(published_tables(points("csdbert", "qqp", "acc_f1"), shown("csdbert")))
    assert "90.0 " in same and "†" not in same
    _, text, meaning = published_tables(points("csdbert", "qqp"), shown("csdbert"))
    assert "90.0†" in text and meaning.startswith("† marks a printed score of another metric")


def test_rows_of_the_pages_own_backbone_come_first():
    own, base = (
        "".join(published_tables(points("csdbert", "elue-mrpc", backbone=name), shown("csdbert")))
        for name in ("fnlp/elasticbert-base", "toy")
    )
    assert "CsdBERT" in own and base == ""
    row = list(
        published_tables(points("finetune", "sst2", backbone="bert_uncased_L-8_H-256_A-4"), shown("finetune"))
    )
    assert any("88.4" in block for block in row)
    assert not any(
        "88.4" in block for block in published_tables(points("finetune", "sst2"), shown("finetune"))
    )


def test_of_several_printed_settings_the_one_nearest_to_our_speed_up_is_shown():
    # SmartBERT, Table 1, prints the cost of DeeBERT on SST-2 as 63, 50 and 34 % at S = 0.1, 0.3 and 0.5.
    blocks = list(published_tables(points("deebert", "sst2", "accuracy"), shown("deebert")))
    smart = next(text for name, text in pairwise(blocks) if "**SmartBERT**" in name)
    assert "90.3 (S=0.3)" in smart and smart.count("2.00x") == 2


def test_ours_are_shown_in_the_printed_metric_where_we_have_it():
    mine = points("csdbert", "qqp", "f1")
    every = pd.concat([mine, mine.assign(metric="acc_f1", score_mean=mine["score_mean"] + 0.03)])
    text = "".join(published_tables(mine, shown("csdbert"), None, every))
    assert "89.1" in text and "86.1" not in text and "†" not in text  # 86.1 by F1 at the same setting
    assert "qqp (" in text


def test_tinybert_stands_beside_the_row_without_general_distillation():
    _, text, twin = published_tables(points("tinybert6", "mrpc", "f1"), shown("tinybert6"))
    assert "88.5" in text and "89.2" not in text and "w/o GD" in twin
    for label in ("tinybert4", "elasticbert"):
        assert not list(published_tables(points(label, "sst2", "accuracy"), shown(label)))


def test_which_deebert_stands_beside_which_is_said():
    both = pd.concat([points("deebert-joint", "mrpc"), points("deebert", "mrpc")])
    blocks = list(published_tables(both, shown("deebert-joint") | shown("deebert")))
    gaml = blocks[1].splitlines()[2:]
    assert len(gaml) == 1 and "85.8" in gaml[0] and gaml[0].startswith("| Deebert-Joint")
    assert blocks[2].startswith(
        "Beside deebert-joint stands the row that GAML-BERT prints as DeeBERT: its 109M"
    )
    assert any("**SmartBERT**" in block for block in blocks)
