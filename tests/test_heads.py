import pytest
import torch

from eebench.backbones.base import State
from eebench.backbones.checkpoints import load_backbone
from eebench.heads import HeadConfig, Pooler, exit_heads, pool
from eebench.model import MultiExitModel


def state(hidden, mask):
    seen = torch.tensor(mask)
    return State(torch.tensor(hidden), seen, None if seen.all() else seen[:, None, None, :])


def test_mean_pooling_ignores_padding():
    rows = state([[[1.0, 2.0], [3.0, 4.0], [99.0, 99.0]]], [[True, True, False]])
    assert pool(rows, "mean").tolist() == [[2.0, 3.0]]
    assert pool(rows, "cls").tolist() == [[1.0, 2.0]]
    assert pool(state([[[1.0, 2.0], [3.0, 5.0]]], [[True, True]]), "mean").tolist() == [[2.0, 3.5]]


# Parameters that one exit adds to BERT-base, two classes: the head table of the literature.
@pytest.mark.parametrize(("pooler", "expected"), [("none", 1538), ("tanh", 1538), ("own", 590592 + 1538)])
def test_parameters_of_one_exit_at_bert_base_width(pooler, expected):
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone

    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig(num_hidden_layers=1)))
        heads = exit_heads(backbone, 2, HeadConfig(pooler=pooler), (1,))
    assert sum(parameter.numel() for parameter in heads[1].parameters()) == expected


def test_a_shared_pooler_is_counted_once():
    backbone = load_backbone("toy")
    alone = sum(parameter.numel() for parameter in backbone.parameters())
    model = MultiExitModel(backbone, dict(exit_heads(backbone, 2, HeadConfig(pooler="shared"), (1, 2))))
    assert model.parameter_count() - alone == (32 * 32 + 32) + 2 * (32 * 2 + 2)
    assert model.heads["1"].pooler is model.heads["2"].pooler


def test_poolers_start_from_the_pretrained_one_and_classifiers_near_zero():
    backbone = load_backbone("toy")
    weight, bias = backbone.pooler_weights()
    pooler = Pooler.of(backbone, "pretrained")
    assert torch.equal(pooler.dense.weight, weight) and torch.equal(pooler.dense.bias, bias)
    assert not torch.equal(Pooler.of(backbone, "random").dense.weight, weight)
    head = exit_heads(backbone, 3, HeadConfig(), (1,))[1]
    assert head.classifier.bias.abs().max() == 0 and head.classifier.weight.std() < 0.04


def test_own_poolers_are_apart():
    heads = exit_heads(load_backbone("toy"), 2, HeadConfig(pooler="own"), (1, 2))
    assert heads[1].pooler is not heads[2].pooler


def test_pooling_follows_the_backbone_unless_told():
    backbone = load_backbone("toy")
    assert exit_heads(backbone, 2, HeadConfig(), (1,))[1].pooling == "mean"
    assert exit_heads(backbone, 2, HeadConfig(pooling="cls"), (1,))[1].pooling == "cls"
