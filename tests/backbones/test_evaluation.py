import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from transformers import BertConfig, BertModel, ElectraConfig, ElectraModel, RobertaConfig, RobertaModel

from eebench.backbones import evaluation
from eebench.backbones.base import Batch, State
from eebench.backbones.bert import BertBackbone
from eebench.backbones.electra import ElectraBackbone
from eebench.backbones.roberta import RobertaBackbone
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel
from eebench.slender import FactorisedEmbedding, keep_heads, keep_neurons

STOCK = {
    "bert": (BertConfig, BertModel, BertBackbone),
    "roberta": (RobertaConfig, RobertaModel, RobertaBackbone),
    "electra": (ElectraConfig, ElectraModel, ElectraBackbone),
}
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


@pytest.fixture(params=list(STOCK))
def backbone(request):
    torch.manual_seed(0)
    config, model, backbone = STOCK[request.param]
    return backbone(model(config(vocab_size=60, **SIZE))).eval()


def some_state(padded):
    hidden, mask = torch.randn(3, 7, 32), torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:] = not padded
    return State(hidden, mask, mask[:, None, None, :] if padded else None)


def calls_of(layer):
    """The modules inside a layer that are called."""
    called = []
    for module in layer.attention.modules():
        module.register_forward_hook(lambda module, *_: called.append(module))
    return called


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("slender", [False, True])
def test_the_bits_are_those_of_the_stock_layer(backbone, padded, slender):
    layer, state = backbone.layers[1], some_state(padded)
    if slender:
        keep_heads(layer, [0, 2, 3])
        keep_neurons(layer, list(range(31)))
    with torch.inference_mode():
        expected = layer(state.hidden, state.attention)
        called = calls_of(layer)
        found = backbone.layer(2, state)
    assert torch.equal(found.hidden, expected) and not called
    assert found.mask is state.mask and found.attention is state.attention


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize("name", ["bert", "electra"])
def test_the_bits_are_those_of_the_stock_embeddings(name, factorised):
    config, model, backbone = STOCK[name]
    backbone = backbone(model(config(vocab_size=60, embedding_size=32, **SIZE))).eval()
    parts = backbone.embeddings
    if factorised:
        parts.word_embeddings = FactorisedEmbedding(60, rank=4, width=32)
    ids, segments = torch.randint(60, (3, 7)), torch.randint(2, (3, 7))
    batch = Batch(ids, torch.ones(3, 7, dtype=torch.bool), segments, padded=False)
    with torch.inference_mode():
        expected = parts(input_ids=ids, token_type_ids=segments)
        called = []
        for module in (parts.LayerNorm, parts.token_type_embeddings, parts.dropout):
            module.register_forward_hook(lambda module, *_: called.append(module))
        assert torch.equal(backbone.embed(batch).hidden, expected) and not called
        handle = parts.register_forward_hook(lambda module, *_: called.append(module))
        assert torch.equal(backbone.embed(batch).hidden, expected) and called.pop() is parts
        handle.remove()
        backbone.train().embed(batch)
    assert parts.dropout in called


def test_training_calls_the_layer(backbone):
    called = calls_of(backbone.layers[0])
    backbone.layer(1, some_state(padded=False))
    assert backbone.layers[0].attention in called
    called.clear()
    with torch.inference_mode():
        backbone.train().layer(1, some_state(padded=False))
    assert backbone.layers[0].attention in called


def test_a_layer_that_is_watched_is_called(backbone):
    layer, seen = backbone.layers[0], []
    with torch.inference_mode():
        for watch in (layer.register_forward_hook, layer.register_forward_pre_hook):
            handle = watch(lambda module, *_: seen.append(module))
            backbone.layer(1, some_state(padded=False))
            handle.remove()
        backbone.layer(1, some_state(padded=False))
    assert seen == [layer, layer]


def test_a_head_is_called_where_that_is_heard(backbone):
    heads = exit_heads(backbone, 2, HeadConfig(pooler="own"), (1, 2))
    model, seen = MultiExitModel(backbone, heads).eval(), []
    head, state = heads[1], some_state(padded=False)
    with torch.inference_mode():
        expected = head(state)
        assert torch.equal(model.classify(1, state), expected)
        for part in (head, head.pooler):
            handle = part.register_forward_hook(lambda module, *_: seen.append(module))
            assert torch.equal(model.classify(1, state), expected)
            handle.remove()
        model.classify(1, state)
    assert seen == [head, head.pooler]


def test_what_stands_in_for_a_linear_map_is_called(backbone):
    class Doubled(nn.Module):
        def forward(self, vectors):
            return vectors * 2

    layer, state = backbone.layers[0], some_state(padded=False)
    layer.attention.output.dense = Doubled()
    with torch.inference_mode():
        assert torch.equal(backbone.layer(1, state).hidden, layer(state.hidden, state.attention))
    assert evaluation.linear(Doubled(), torch.ones(2)).tolist() == [2, 2]


def test_a_linear_map_that_computes_its_weight_is_called():
    part, vectors = nn.Linear(3, 2), torch.randn(4, 3)
    prune.l1_unstructured(part, "weight", amount=3)
    assert torch.equal(evaluation.linear(part, vectors), part(vectors))
    assert torch.equal(evaluation.linear(nn.Linear(3, 2, bias=False), vectors * 0), torch.zeros(4, 2))
