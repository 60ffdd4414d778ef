import json
from pathlib import Path

import pytest

from eebench.cost.breakdown import HEAD_FORMS, Component, breakdown
from eebench.cost.configs import backbone_config
from eebench.cost.conventions import convention, flops
from eebench.errors import UserError


def rows_of(backbone: str, head: str = "own", classes: int = 2) -> dict[str, Component]:
    return {row.name: row for row in breakdown(backbone_config(backbone), classes, head)}


@pytest.fixture(scope="module")
def bert_base() -> dict[str, Component]:
    return rows_of("bert-base-uncased")


def test_rows_in_reading_order(bert_base: dict[str, Component]):
    assert [(row.level, name) for name, row in bert_base.items()] == [
        (0, "embedding"),
        (0, "transformer layer"),
        (1, "Q, K, V, O projections"),
        (1, "feed-forward"),
        (1, "attention products"),
        (0, "pooler"),
        (0, "exit classifier"),
        (0, "whole model, one exit"),
        (0, "whole model, an exit per layer"),
    ]


@pytest.mark.parametrize(
    ("name", "linear", "matmul"),
    [
        ("embedding", 0, 0),
        ("transformer layer", 905_969_664, 25_165_824),
        ("Q, K, V, O projections", 301_989_888, 0),
        ("feed-forward", 603_979_776, 0),
        ("attention products", 0, 25_165_824),
        ("pooler", 589_824, 0),
        ("exit classifier", 1_536, 0),
        ("whole model, one exit", 12 * 905_969_664 + 589_824 + 1_536, 12 * 25_165_824),
        ("whole model, an exit per layer", 12 * (905_969_664 + 589_824 + 1_536), 12 * 25_165_824),
    ],
)
def test_bert_base_macs(bert_base: dict[str, Component], name: str, linear: int, matmul: int):
    assert bert_base[name].operations.linear(128) == linear
    assert bert_base[name].operations.matmul(128) == matmul


def test_bert_base_as_smartbert_prints_it(bert_base: dict[str, Component]):
    linear = convention("linear_2mac")
    assert flops(bert_base["transformer layer"].operations, 128, linear) * 12 == 21_743_271_936
    assert flops(bert_base["whole model, one exit"].operations, 128, linear) == 21_744_454_656
    assert flops(bert_base["whole model, an exit per layer"].operations, 128, linear) == 21_757_464_576
    # The published table rounds the millions of MACs first: 21744 and 21758.
    macs = [bert_base[name].operations.linear(128) for name in list(bert_base)[-2:]]
    assert [round(mac / 1e6) * 2 for mac in macs] == [21744, 21758]


def test_bert_base_in_full(bert_base: dict[str, Component]):
    # 12 x 2 x (905,969,664 + 25,165,824) + 2 x 591,360
    whole = bert_base["whole model, one exit"].operations
    assert flops(whole, 128, convention("full_2mac")) == 22_348_434_432
    assert flops(whole, 128, convention("layers")) == 12


def test_six_layers_are_half_of_it():
    whole = rows_of("distilbert-6l")["whole model, one exit"].operations
    assert flops(whole, 128, convention("linear_2mac")) == 10_872_818_688


@pytest.mark.parametrize(
    ("backbone", "head", "one_exit", "all_exits"),
    [
        # COST-EFF Table 3 with C = 2: parameters in millions, one pooler; DeeBERT 12 poolers, PABEE 1.
        ("bert-8l-256h", "own", 14.330, 14.794),
        ("tinybert-4l", "own", 14.351, 14.646),
        ("bert-12l-256h", "own", 17.489, 18.219),
        ("bert-12l-256h", "shared", 17.489, 17.495),
        ("bert-12l-512h", "own", 53.984, 56.884),
        ("bert-12l-512h", "shared", 53.984, 53.995),
        ("elasticbert-6l", "none", 66.957, 66.374),
    ],
)
def test_parameters_of_published_models(backbone: str, head: str, one_exit: float, all_exits: float):
    rows = rows_of(backbone, head)
    assert round(rows["whole model, one exit"].parameters / 1e6, 3) == one_exit
    assert round(rows["whole model, an exit per layer"].parameters / 1e6, 3) == all_exits


def test_parameters_of_the_parts(bert_base: dict[str, Component]):
    head = 768 * 2 + 2
    assert bert_base["whole model, one exit"].parameters == 109_482_240 + head
    assert bert_base["pooler"].parameters == 590_592
    assert bert_base["exit classifier"].parameters == head
    assert bert_base["Q, K, V, O projections"].parameters == 4 * (768 * 768 + 768)
    assert bert_base["feed-forward"].parameters == 2 * 768 * 3072 + 768 + 3072
    # The layer holds two LayerNorms more than its parts.
    assert bert_base["transformer layer"].parameters == 7_087_872


def test_minilm_parameters():
    assert rows_of("minilm-l6")["whole model, one exit"].parameters == 22_713_216 + 384 * 2 + 2


def test_form_of_the_exits_changes_the_last_row_only():
    forms = {head: rows_of("toy", head, classes=3) for head in HEAD_FORMS}
    last = "whole model, an exit per layer"
    # toy: 2 layers of width 32; a pooler is 1024 weights and 32 biases, a head 96 and 3
    backbone = forms["none"][last].parameters - 2 * 99
    assert forms["tanh"][last].parameters == backbone + 2 * 99
    assert forms["shared"][last].parameters == backbone + 1056 + 2 * 99
    assert forms["own"][last].parameters == backbone + 2 * (1056 + 99)
    macs = {head: rows[last].operations.linear(1) for head, rows in forms.items()}
    assert macs == {
        "none": 2 * 8192 + 2 * 96,
        "tanh": 2 * 8192 + 2 * 96,
        "shared": 2 * (8192 + 96 + 1024),
        "own": 2 * (8192 + 96 + 1024),
    }
    rest = [list(rows.values())[:-1] for rows in forms.values()]
    assert all(rows == rest[0] for rows in rest)


def test_unknown_head_and_no_classes():
    with pytest.raises(UserError, match="unknown head 'pool'; choose one of: none, tanh, shared, own"):
        rows_of("toy", "pool")
    with pytest.raises(UserError, match="needs classes, not 0"):
        rows_of("toy", classes=0)


# Width 32, FFN 64, 2 layers: four projections of 32 x 32 and two FFN maps of 32 x 64 per layer.
SIZES = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64,
         "vocab_size": 50}  # fmt: skip
DISTILBERT_SIZES = {"dim": 32, "n_heads": 2, "n_layers": 2, "hidden_dim": 64, "vocab_size": 50}
PROJECTIONS, FEED_FORWARD = 4 * 32 * 32, 2 * 32 * 64
LAYER_PARAMETERS = PROJECTIONS + FEED_FORWARD + 4 * 32 + 64 + 32 + 2 * 2 * 32


def rows_of_type(tmp_path: Path, kind: str, **sizes: int) -> dict[str, Component]:
    plain = {"model_type": kind, **(DISTILBERT_SIZES if kind == "distilbert" else SIZES), **sizes}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    return rows_of(str(tmp_path))


@pytest.mark.parametrize(
    "kind", ["bert", "albert", "roberta", "electra", "mpnet", "distilbert", "elasticbert"]
)
def test_layers_of_every_architecture_cost_the_same(tmp_path: Path, kind: str):
    rows = rows_of_type(tmp_path, kind, **({"embedding_size": 32} if kind == "electra" else {}))
    layer = rows["transformer layer"].operations
    assert layer.linear(10) == 10 * (PROJECTIONS + FEED_FORWARD)
    assert layer.matmul(10) == 2 * 10 * 10 * 32
    assert rows["Q, K, V, O projections"].operations.linear(10) == 10 * PROJECTIONS
    assert rows["feed-forward"].operations.linear(10) == 10 * FEED_FORWARD
    assert rows["feed-forward"].parameters == FEED_FORWARD + 64 + 32
    assert rows["transformer layer"].parameters == LAYER_PARAMETERS
    layers = rows["whole model, an exit per layer"].operations.matmul(10)
    assert layers == 2 * 2 * 10 * 10 * 32


def test_narrow_embeddings_are_projected_by_the_embedding(tmp_path: Path):
    albert = rows_of_type(tmp_path, "albert", embedding_size=8)
    electra = rows_of_type(tmp_path, "electra", embedding_size=8)
    tables = (50 + 512 + 2) * 8 + 2 * 8
    for rows in (albert, electra):
        assert rows["embedding"].operations.linear(10) == 10 * 8 * 32
        assert rows["embedding"].parameters == tables + 8 * 32 + 32
    pooler, head = 32 * 32 + 32, 2 * 32 + 2
    # ALBERT's two layers are one set of weights.
    whole = "whole model, one exit"
    assert albert[whole].parameters == tables + 8 * 32 + 32 + LAYER_PARAMETERS + pooler + head
    assert electra[whole].parameters == albert[whole].parameters + LAYER_PARAMETERS


def test_a_layer_of_several_attentions_is_one_row(tmp_path: Path):
    rows = rows_of_type(tmp_path, "albert", embedding_size=8, inner_group_num=2)
    assert list(rows)[:3] == ["embedding", "transformer layer", "pooler"]
    assert rows["transformer layer"].operations.linear(1) == 2 * (PROJECTIONS + FEED_FORWARD)


def test_mpnets_position_bias_belongs_to_the_embedding(tmp_path: Path):
    rows = rows_of_type(tmp_path, "mpnet")
    assert rows["embedding"].parameters == (50 + 512) * 32 + 2 * 32 + 32 * 2
