"""Addresses of printed numbers: each names one row, and the rows beside ours are like ours."""

import pytest

from eebench.reference import keys
from eebench.reference.keys import (
    ABLATIONS,
    COSTEFF_MAIN,
    CSDBERT_ELUE,
    MAIN,
    SCORE,
    Key,
    Table,
    keys_beside,
    keys_of,
    printed_row,
)
from eebench.reference.tables import reference_names, reference_table

NAMED = [value for value in vars(keys).values() if isinstance(value, Table)]


def every_table():
    return {Table(row.paper, row.table, row.split) for name in reference_names()
            for row in reference_table(name).itertuples()}  # fmt: skip


def test_each_row_has_a_key_of_its_own_and_each_key_one_row():
    found = [(key, printed_row(key)) for table in every_table() for key in keys_of(table)]
    assert len(found) == sum(len(reference_table(name)) for name in reference_names())
    for key, row in found:
        rows = reference_table(key.table.name)
        for column, value in (("table", key.table.number), ("split", key.table.split), ("method", key.method),
                              ("backbone", key.backbone), ("task", key.task), ("item", key.item),
                              ("setting", key.setting)):  # fmt: skip
            rows = rows[rows[column] == value]
        rows = rows[
            rows["metric"].isin(keys.SCORES) if key.quantity == SCORE else rows["metric"] == key.quantity
        ]
        assert len(rows) == 1 and rows.iloc[0].equals(row), key


def test_a_key_of_two_rows_is_refused(monkeypatch):
    key = keys_of(COSTEFF_MAIN)[0]
    row = printed_row(key)
    monkeypatch.setitem(keys._rows(), key, [row, row])
    with pytest.raises(LookupError, match="2 rows of costeff-table3"):
        printed_row(key)


def test_the_tables_that_pages_read_are_there():
    assert {*NAMED, *MAIN, *ABLATIONS} <= every_table()
    assert {table.name for table in every_table()} == set(reference_names())


@pytest.mark.parametrize(
    ("label", "backbone", "printed"),
    [
        (
            "tinybert6",
            "bert-base-uncased",
            "TinyBERT6 w/o GD",
        ),  # MRPC 88.5, not the 89.2 with general distillation
        ("tinybert4", "bert-base-uncased", None),  # printed with general distillation alone
        ("distilbert", "minilm-l6", None),  # the checkpoint that was distilled on a corpus
        ("elasticbert", "bert-base-uncased", None),  # six layers of another checkpoint
        ("deebert", "bert-base-uncased", None),
        ("deebert", "google/bert_uncased_L-12_H-256_A-4", "DeeBERT_12L-256H"),
        ("pabee", "models/bert_uncased_L-12_H-512_A-8", "PABEE_12L-512H"),
        ("finetune", "minilm-l6", "BERT_Base"),
        ("finetune", "google/bert_uncased_L-6_H-768_A-12", "BERT_6L-768H"),
        ("cost-eff-8x", "fnlp/elasticbert-base", "COST-EFF_8x"),
    ],
)
def test_what_stands_beside_ours_in_costeff_table_3(label, backbone, printed):
    rows = [printed_row(key) for key in keys_beside(Key(COSTEFF_MAIN, label, backbone, "sst2"))]
    assert next((row["printed"] for row in rows if row is not None), None) == printed


@pytest.mark.parametrize(
    ("label", "backbone", "printed"),
    [
        ("elasticbert-6", "fnlp/elasticbert-base", "ElasticBERT_6L"),
        ("elasticbert", "fnlp/elasticbert-base", None),
        ("distilbert6", "distilbert/distilbert-base-uncased", "DistilBERT6"),
        ("finetune", "google/bert_uncased_L-8_H-256_A-4", "BERT_8L-256H"),
        ("finetune", "bert-base-uncased", "BERT_Base"),
        ("cost-eff-8x", "fnlp/elasticbert-base", None),  # BERT-base's row is another checkpoint's
        ("tinybert6", "bert-base-uncased", "TinyBERT6 w/o GD"),
    ],
)
def test_rows_of_our_own_checkpoint_alone(label, backbone, printed):
    rows = [
        printed_row(key) for key in keys_beside(Key(COSTEFF_MAIN, label, backbone, "sst2"), own_only=True)
    ]
    assert next((row["printed"] for row in rows if row is not None), None) == printed


def test_scores_beside_ours():
    (key,) = list(keys_beside(Key(COSTEFF_MAIN, "tinybert6", "minilm-l6", "mrpc")))
    assert printed_row(key)["score"] == 88.5
    own, base = keys_beside(Key(CSDBERT_ELUE, "csdbert", "fnlp/elasticbert-base", "elue-sst2"))
    assert printed_row(own)["score"] == 93.1 and printed_row(base) is None


def test_twins_are_rows():
    for (paper, label), twin in keys.TWINS.items():
        there = {(key.method, key.backbone) for table in every_table() if table.paper == paper
                 for key in keys_of(table)}  # fmt: skip
        assert (twin.method, twin.backbone) in there, label


def test_the_row_of_gaml_berts_deebert_stands_beside_joint_training():
    # 109M parameters: BERT-base has 109.5M, twelve poolers of its width would add 7.1M.
    for table in (keys.GAML_RULES, Table("GAML-BERT", 2), keys.CSDBERT_GLUE):
        item = "rule=entropy" if table == keys.GAML_RULES else ""
        rows = {label: [printed_row(key) for key in keys_beside(Key(table, label, "minilm-l6", "mnli", item))]
                for label in ("deebert-joint", "deebert")}  # fmt: skip
        assert rows["deebert"] == [] and [row["score"] for row in rows["deebert-joint"]] == [81.2]
        assert rows["deebert-joint"][0]["params"] == "109M"
    smart = Key(keys.SMARTBERT_MAIN, "deebert", "minilm-l6", "mnli", setting="S=0.1")
    assert [printed_row(key)["score"] for key in keys_beside(smart)] == [84.2]  # trained in two stages there
