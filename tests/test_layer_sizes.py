import pytest
import torch

from eebench.backbones.architectures import ARCHITECTURES
from eebench.backbones.bert import BertBackbone
from eebench.backbones.checkpoints import skeleton_backbone
from eebench.cost.configs import shape_config
from eebench.cost.conventions import convention
from eebench.cost.shapes import SHAPES
from eebench.layer_sizes import layer_rows
from eebench.methods.catalogue import find_method

SIZES = ("layer", "width", "heads", "head_width", "ffn_width")


def bert_base():
    from transformers import BertModel

    with torch.device("meta"):
        return BertBackbone(BertModel(shape_config(SHAPES["bert-base-uncased"]), add_pooling_layer=False))


def rows_of(name, backbone, counted="linear_2mac", **options):
    method = find_method(name)
    with torch.device("meta"):
        model = method.finished(backbone, 2, method.options_type(**options))
    return list(layer_rows(model, 128, convention(counted)))


def test_smartberts_table_2():
    rows = rows_of("smartbert", bert_base())
    # 1811.8, 37.6 and 37.4 million in print, of which each is cut on the way.
    assert [{row[name] for row in rows} for name in ("layer_flops", "exit_flops", "gate_flops")] == [
        {1_811_939_328}, {37_782_016}, {37_748_992},
    ]  # fmt: skip
    assert [tuple(row[name] for name in SIZES) for row in rows] == [
        (layer, 768, 12, 64, 3072) for layer in range(1, 13)
    ]


@pytest.mark.parametrize(("size", "heads", "ffn"), [("8x", 2, 256), ("2x", 6, 1536)])
def test_cost_effs_table_2(size, heads, ffn):
    rows = rows_of("cost-eff", bert_base(), size=size)
    assert [tuple(row[name] for name in SIZES) for row in rows] == [
        (layer, 768, heads, 64, ffn) for layer in range(1, 13)
    ]
    assert all(row["exit_flops"] is not None and row["gate_flops"] is None for row in rows)


def test_one_exit():
    rows = rows_of("finetune", skeleton_backbone("toy"))
    assert [row["exit_flops"] is None for row in rows] == [True, False]


@pytest.mark.parametrize("kind", ["albert", "mpnet", "distilbert"])
def test_layers_of_other_architectures_have_a_size(kind):
    architecture = ARCHITECTURES[kind]
    config = architecture.config_class()()
    rows = rows_of("finetune", architecture.skeleton(config))
    heads = int(config.num_attention_heads)
    width = int(config.hidden_size)
    assert {tuple(row[name] for name in SIZES[1:4]) for row in rows} == {(width, heads, width // heads)}


def test_the_larger_member_of_a_cascade_has_a_cost_and_no_size():
    rows = rows_of("cascade", skeleton_backbone("toy"), members=[1, "full"])
    # One layer of the first member, two of the second, whose layers cost the same.
    assert len(rows) == 3 and len({row["layer_flops"] for row in rows}) == 1
    assert rows[0]["width"] == 32 and rows[-1]["width"] is None
