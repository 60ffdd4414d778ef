"""Slicing equals masking, the SVD is the best one, and a model takes the shapes of weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

from eebench.backbones.base import Backbone, Batch
from eebench.backbones.bert import BertBackbone
from eebench.backbones.distilbert import DistilBertBackbone
from eebench.backbones.electra import ElectraBackbone
from eebench.backbones.mpnet import MPNetBackbone
from eebench.backbones.roberta import RobertaBackbone
from eebench.backbones.toy import toy_backbone
from eebench.errors import ModelError
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel, load_weights, weights_of
from eebench.slender import (
    FactorisedEmbedding,
    Size,
    conform,
    embedding_rank,
    embedding_width,
    factorise,
    keep_heads,
    keep_neurons,
    layer_parts,
    shrink,
    size_of,
    word_embeddings,
)

SMALL = {
    "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40,
    "num_hidden_layers": 2, "initializer_range": 0.3,
}  # fmt: skip
DISTIL = {
    "vocab_size": 50,
    "dim": 24,
    "n_heads": 4,
    "hidden_dim": 40,
    "n_layers": 2,
    "initializer_range": 0.3,
}
BUILDERS: dict[str, Callable[[], Backbone]] = {
    "bert": lambda: BertBackbone(BertModel(BertConfig(**SMALL))),
    "roberta": lambda: RobertaBackbone(RobertaModel(RobertaConfig(**SMALL))),
    "electra": lambda: ElectraBackbone(ElectraModel(ElectraConfig(**SMALL, embedding_size=16))),
    "distilbert": lambda: DistilBertBackbone(DistilBertModel(DistilBertConfig(**DISTIL))),
}


def small(kind: str) -> Backbone:
    torch.manual_seed(0)
    return BUILDERS[kind]().eval()


def padded_batch() -> Batch:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    ids = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 1, 1]])
    return Batch(ids, mask, torch.zeros_like(ids))


def hidden(backbone: Backbone) -> Tensor:
    with torch.no_grad():
        return backbone(padded_batch()).hidden


@pytest.mark.parametrize("kind", BUILDERS)
def test_removing_a_head_equals_masking_it(kind: str) -> None:
    whole, sliced = small(kind).double(), small(kind).double()
    before = hidden(whole)
    for layer in whole.layers:
        with torch.no_grad():  # what head 1 of 4 (width 6) says is lost in the output projection
            layer_parts(layer).output.weight[:, 6:12] = 0
    for layer in sliced.layers:
        keep_heads(layer, [3, 0, 2])
    torch.testing.assert_close(hidden(sliced), hidden(whole), atol=1e-12, rtol=0)
    assert not torch.allclose(hidden(sliced), before, atol=1e-3)
    parts = layer_parts(sliced.layers[0])
    assert (parts.heads, parts.query.weight.shape, parts.output.weight.shape) == (3, (18, 24), (24, 18))


@pytest.mark.parametrize("kind", BUILDERS)
def test_removing_neurons_equals_masking_them(kind: str) -> None:
    whole, sliced = small(kind).double(), small(kind).double()
    gone = [0, 7, 39]
    for layer in whole.layers:
        with torch.no_grad():
            layer_parts(layer).outer.weight[:, gone] = 0
    for layer in sliced.layers:
        keep_neurons(layer, [neuron for neuron in range(40) if neuron not in gone])
    torch.testing.assert_close(hidden(sliced), hidden(whole), atol=1e-12, rtol=0)
    assert layer_parts(sliced.layers[1]).feed_forward == 37


def test_the_order_of_what_stays_is_kept() -> None:
    layer = toy_backbone().layers[0]
    rows = layer_parts(layer).inner.weight.detach().clone()
    keep_neurons(layer, [9, 2, 5])
    assert torch.equal(layer_parts(layer).inner.weight, rows[[2, 5, 9]])


def test_slices_train_and_leave_no_trace_of_the_old_weights() -> None:
    layer = toy_backbone().layers[0]
    old = layer_parts(layer).query.weight
    keep_heads(layer, [1])
    new = layer_parts(layer).query.weight
    assert new.requires_grad and new.is_leaf and new.data_ptr() != old.data_ptr()
    assert torch.equal(new, old[16:])


def test_nothing_or_what_is_not_there_cannot_be_kept() -> None:
    layer = toy_backbone().layers[0]
    with pytest.raises(ValueError, match="cannot keep heads \\[\\]"):
        keep_heads(layer, [])
    with pytest.raises(ValueError, match="there are 64"):
        keep_neurons(layer, [64])


def test_layers_that_share_a_bias_over_heads_are_refused() -> None:
    backbone = MPNetBackbone(MPNetModel(MPNetConfig(**SMALL)))
    with pytest.raises(ModelError, match="MPNetLayer cannot be slenderised"):
        keep_heads(backbone.layers[0], [0])


@pytest.mark.parametrize("kind", BUILDERS)
def test_factors_of_full_rank_are_the_embeddings(kind: str) -> None:
    backbone = small(kind)
    before = hidden(backbone)
    factorise(backbone, embedding_width(backbone))
    torch.testing.assert_close(hidden(backbone), before, atol=1e-4, rtol=0)
    assert embedding_width(backbone) == (16 if kind == "electra" else 24)


def test_the_truncated_product_is_the_best_of_its_rank() -> None:
    """Eckart-Young: its error is the root of the sum of the squared singular values that were cut off."""
    backbone = small("bert")
    matrix = word_embeddings(backbone).weight.detach().clone()
    factorise(backbone, 7)
    factors = word_embeddings(backbone)
    assert isinstance(factors, FactorisedEmbedding)
    singular = torch.linalg.svdvals(matrix)
    error = torch.linalg.norm(factors.product() - matrix)
    assert float(error) == pytest.approx(float(singular[7:].square().sum().sqrt()), rel=1e-5)
    assert (factors.narrow.weight.shape, factors.widen.weight.shape) == ((50, 7), (24, 7))
    torch.testing.assert_close(factors.widen.weight.T @ factors.widen.weight, torch.eye(7), atol=1e-5, rtol=0)


def test_factorising_again_goes_on_from_the_product() -> None:
    twice, once = small("bert"), small("bert")
    factorise(twice, 12)
    factorise(twice, 5)
    factorise(once, 5)
    ours, theirs = word_embeddings(twice), word_embeddings(once)
    assert isinstance(ours, FactorisedEmbedding) and isinstance(theirs, FactorisedEmbedding)
    torch.testing.assert_close(ours.product(), theirs.product(), atol=1e-5, rtol=0)


def test_a_bert_skeleton_of_the_papers_size_has_its_parameters() -> None:
    """Embeddings (V + 512 + 2 position and segment rows) and 12 layers of COST-EFF 8x, without exits."""
    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig(), add_pooling_layer=False))
    shrink(backbone, Size(2, 256, 128))
    assert size_of(backbone) == Size(2, 256, 128)
    embeddings = 30522 * 128 + 128 * 768 + 514 * 768 + 2 * 768
    attention = 3 * (768 * 128 + 128) + 128 * 768 + 768
    layer = attention + 768 * 256 + 256 + 256 * 768 + 768 + 4 * 768
    assert sum(parameter.numel() for parameter in backbone.parameters()) == embeddings + 12 * layer
    assert all(parameter.is_meta for parameter in backbone.parameters())


def exits(backbone: Backbone) -> MultiExitModel:
    return MultiExitModel(backbone, exit_heads(backbone, 2, HeadConfig(pooler="tanh"), (1, 2)))


@pytest.mark.parametrize("rank", [None, 9])
def test_a_model_takes_the_shapes_of_weights(rank: int | None) -> None:
    torch.manual_seed(0)
    slender = exits(small("bert"))
    keep_heads(slender.backbone.layers[0], [1, 3])
    keep_heads(slender.backbone.layers[1], [2])
    keep_neurons(slender.backbone.layers[1], range(10, 20))
    factorise(slender.backbone, 6)
    other = exits(small("bert"))
    if rank is not None:
        factorise(other.backbone, rank)
    conform(other, weights_of(slender))
    load_weights(other, weights_of(slender))
    assert [layer_parts(layer).heads for layer in other.backbone.layers] == [2, 1]
    assert other.backbone.layers[1].attention.self.num_attention_heads == 1
    with torch.no_grad():
        assert torch.equal(other.eval()(padded_batch()).logits, slender.eval()(padded_batch()).logits)


def test_a_model_that_has_the_shapes_keeps_its_parameters() -> None:
    model = exits(small("bert"))
    factorise(model.backbone, 6)
    before = dict(model.named_parameters())
    conform(model, weights_of(model))
    assert all(parameter is before[name] for name, parameter in model.named_parameters())


def test_changing_shapes_draws_no_random_numbers() -> None:
    model = exits(small("bert"))
    slender = exits(small("bert"))
    shrink(slender.backbone, Size(1, 8, 4))
    state = torch.get_rng_state()
    conform(model, weights_of(slender))
    factorise(model.backbone, 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_rank_that_the_embeddings_cannot_have_is_refused() -> None:
    backbone = BertBackbone(BertModel(BertConfig(**{**SMALL, "vocab_size": 20})))  # V 20, H 24
    assert embedding_rank(backbone) == 20 and embedding_rank(small("electra")) == 16
    for rank in (0, 21):
        with pytest.raises(ValueError, match=f"to rank {rank}: choose 1..20"):
            factorise(backbone, rank)
    factorise(backbone, 20)
    assert embedding_rank(backbone) == 20


def test_new_embeddings_are_in_the_mode_of_the_old() -> None:
    backbone = small("bert")
    factorise(backbone, 4)
    assert not word_embeddings(backbone).training
    backbone.train()
    factorise(backbone, 3)
    assert word_embeddings(backbone).training


def test_a_backbone_that_is_never_pruned_takes_its_own_weights():
    config = MPNetConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    backbone = MPNetBackbone(MPNetModel(config))
    model = MultiExitModel(backbone, exit_heads(backbone, 2, HeadConfig(), [1, 2]))
    weights = {name: tensor + 1.0 for name, tensor in weights_of(model).items()}
    conform(model, weights)
    load_weights(model, weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in weights_of(model).items())
