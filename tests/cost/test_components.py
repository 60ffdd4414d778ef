import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from eebench.backbones.base import State
from eebench.backbones.bert import BertBackbone
from eebench.backbones.toy import toy_backbone
from eebench.cost.components import TRACED_LENGTHS, measure, model_cost, ordinary_classifier
from eebench.cost.operations import Operations, Polynomial
from eebench.errors import ModelError
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel
from eebench.slender import Size, shrink

RANDOM_LENGTHS = (1, 37, 128, 301)


def tokens(length: int, width: int = 768) -> tuple[Tensor]:
    return (torch.zeros(1, length, width, device="meta"),)


def bert_layer(attention: str = "sdpa") -> Any:
    with torch.device("meta"):
        return BertModel(BertConfig(num_hidden_layers=1, attn_implementation=attention)).encoder.layer[0]


def toy_model(**head: Any) -> MultiExitModel:
    backbone = toy_backbone()
    config = HeadConfig(**{"pooling": "cls", "pooler": "own"} | head)
    return MultiExitModel(backbone, dict(exit_heads(backbone, 3, config, (1, 2))))


def fvcore_count(module: nn.Module, inputs: tuple[Tensor, ...], operators: tuple[str, ...]) -> int:
    """fvcore as it comes, on one fresh trace."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False)
    counts = analysis.uncalled_modules_warnings(False).by_operator()
    return int(sum(counts[operator] for operator in operators))


class SmartBertExit(nn.Module):
    """SmartBERT's exit: narrow to 128, self-attention without output map, dense and head on [CLS]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(768, 128)
        self.query, self.key, self.value = (nn.Linear(128, 128) for _ in range(3))
        self.dense, self.head = nn.Linear(128, 128), nn.Linear(128, classes)

    def forward(self, hidden: Tensor) -> Tensor:
        narrow = torch.tanh(self.narrow(hidden))
        query, key, value = (
            part(narrow).unflatten(-1, (4, 32)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(-1, -2), dim=-1)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return self.head(torch.tanh(self.dense(mixed[:, 0])))


class FastBertExit(nn.Module):
    """FastBERT's exit on the stock attention module, output map included."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.attention = nn.Linear(768, 128), nn.MultiheadAttention(128, 2, batch_first=True)
        self.dense, self.head = nn.Linear(128, 128), nn.Linear(128, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        narrow = torch.tanh(self.narrow(hidden))
        mixed = self.attention(narrow, narrow, narrow)[0]
        return self.head(torch.tanh(self.dense(mixed[:, 0])))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_bert_base_layer_exactly(attention: str):
    layer = measure(bert_layer(attention), tokens)
    assert layer.linear(128) == 905_969_664
    assert layer.matmul(128) == 25_165_824
    assert layer.normalization(128) == 983_040
    assert layer.linear == Polynomial(0, 12 * 768**2, 0)
    assert layer.matmul == Polynomial(0, 0, 2 * 768)


def test_parts_of_a_layer_exactly():
    layer = bert_layer()
    attention = measure(layer.attention, tokens)
    assert attention.linear(128) == 301_989_888
    assert attention.matmul(128) == 25_165_824
    assert measure(layer.intermediate.dense, tokens).linear(128) * 2 == 603_979_776


@pytest.mark.parametrize("length", RANDOM_LENGTHS)
def test_polynomials_equal_fresh_traces_at_other_lengths(length: int):
    layer = bert_layer("eager")
    operations = measure(layer, tokens)
    assert operations.linear(length) == fvcore_count(layer, tokens(length), ("linear", "addmm"))
    assert operations.matmul(length) == fvcore_count(layer, tokens(length), ("matmul", "bmm"))
    assert operations.normalization(length) == fvcore_count(layer, tokens(length), ("layer_norm",))
    assert length not in TRACED_LENGTHS


def test_classifier_on_the_first_token():
    assert ordinary_classifier(768, 2) == Operations(linear=Polynomial(589_824 + 1_536))


def test_smartbert_exit_exactly():
    with torch.device("meta"):
        exit_ = measure(SmartBertExit(2), tokens)
    assert exit_.linear(128) == 18_891_008
    assert exit_.matmul(128) == 4_194_304


def test_stock_attention_module_is_counted_too():
    """The fast path of nn.MultiheadAttention would hide all of its products from fvcore."""
    fused = torch.backends.mha.get_fastpath_enabled()
    # On the CPU, because the fast path exists on real devices only.
    exit_ = measure(FastBertExit(), lambda length: (torch.zeros(1, length, 768),))
    assert exit_.linear(128) == 20_988_160
    assert exit_.matmul(128) == 4_194_304
    assert torch.backends.mha.get_fastpath_enabled() == fused


class Product(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, hidden: Tensor) -> Tensor:
        rows = hidden[0]
        products = {
            "vector": lambda: hidden @ rows[0],
            "broadcast": lambda: rows[:2] @ hidden.expand(3, -1, -1).transpose(1, 2),
            "added": lambda: torch.baddbmm(hidden[:, :, :1] * 0, hidden, hidden.transpose(1, 2)),
            "tensordot": lambda: torch.tensordot(rows, rows, dims=([1], [1])),
            "cubic": lambda: torch.einsum("ab,cb,db->acd", rows, rows, rows),
        }
        return products[self.name]()


@pytest.mark.parametrize(
    ("name", "expected"),
    # n rows of width 4: n x 4; 3 batches of (2 x 4)(4 x n); (n x 4)(4 x n) added to a column
    [("vector", Polynomial(0, 4, 0)), ("broadcast", Polynomial(0, 24, 0)), ("added", Polynomial(0, 0, 4))],
)
def test_other_products(name: str, expected: Polynomial):
    assert measure(Product(name), lambda length: tokens(length, 4)).matmul == expected


def test_products_that_cannot_be_counted_are_refused():
    with pytest.raises(ModelError, match="cannot count the operations of tensordot"):
        measure(Product("tensordot"), lambda length: tokens(length, 4))


def test_more_than_quadratic_is_refused():
    with pytest.raises(ModelError, match="not quadratic"):
        measure(Product("cubic"), lambda length: tokens(length, 4))


@pytest.mark.parametrize(("name", "error"), [("tensordot", ModelError), ("no such product", KeyError)])
def test_a_failed_trace_leaves_the_module_as_it_was(name: str, error: type[Exception]):
    model = nn.Sequential(nn.Linear(4, 4), Product(name), nn.Dropout(0.5)).to("meta")
    with pytest.raises(error):
        measure(model, lambda length: tokens(length, 4))
    assert all(part.training and not part._forward_hooks for part in model.modules())


def test_bert_base_with_an_exit_per_layer():
    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig()))
        config = HeadConfig(pooling="cls", pooler="own", dropout=0.1)
        heads = exit_heads(backbone, 2, config, tuple(range(1, 13)))
        cost = model_cost(MultiExitModel(backbone, dict(heads)))
    layer = Operations(Polynomial(0, 7_077_888), Polynomial(0, 0, 1536), Polynomial(0, 7680), layers=1)
    # two residual sums of 768 a token, one mask for each of 12 scores of a pair of tokens
    layer = replace(layer, elementwise=Polynomial(0, 1536, 12))
    assert cost.layers == (layer,) * 12
    assert cost.exits == dict.fromkeys(range(1, 13), Operations(linear=Polynomial(591_360)))
    assert cost.embedding == Operations(normalization=Polynomial(0, 5 * 768), elementwise=Polynomial(0, 768))
    assert cost.classifier == Operations(linear=Polynomial(591_360))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_toy_model_by_hand(device: str):
    cost = model_cost(toy_model().to(device))
    # width 32, FFN 64: 4 x 32^2 + 2 x 32 x 64 weights; pooler 32^2, head 32 x 3
    assert [layer.linear for layer in cost.layers] == [Polynomial(0, 8192)] * 2
    assert [layer.matmul for layer in cost.layers] == [Polynomial(0, 0, 64)] * 2
    assert cost.exits == {1: Operations(Polynomial(1120)), 2: Operations(Polynomial(1120))}
    assert cost.classifier.linear == Polynomial(1024 + 96)


def test_sums_and_products_of_elements_are_counted_apart():
    class Sums(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return (hidden + hidden) * 2.0 + hidden.shape[1]

    assert measure(Sums(), lambda length: tokens(length, 4)) == Operations(elementwise=Polynomial(0, 12))


def test_factorised_embeddings_add_positions_out_of_place():
    whole, slender = toy_backbone(), toy_backbone()
    shrink(slender, Size(2, 64, 8))
    costs = [
        model_cost(MultiExitModel(backbone, dict(exit_heads(backbone, 2, HeadConfig(pooler="tanh"), (1, 2)))))
        for backbone in (whole, slender)
    ]
    assert [cost.embedding.elementwise for cost in costs] == [Polynomial(0, 32), Polynomial(0, 64)]
    assert [cost.embedding.linear for cost in costs] == [Polynomial(), Polynomial(0, 8 * 32)]


def test_mean_pooling_counts_as_a_product():
    exits = model_cost(toy_model(pooling="mean", pooler="none")).exits
    assert exits[1] == Operations(Polynomial(96), Polynomial(0, 32))


def test_exit_at_the_last_layer_only_still_costs_every_layer():
    backbone = toy_backbone()
    config = HeadConfig(pooling="cls", pooler="none", dropout=0.0)
    cost = model_cost(MultiExitModel(backbone, dict(exit_heads(backbone, 2, config, (1,)))))
    assert [layer.linear(1) for layer in cost.layers] == [8192, 8192]
    assert list(cost.exits) == [1]


class Narrow(nn.Module):
    """Stands for a pruned layer: a quarter of the work."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(32, 8), nn.Linear(8, 32)

    def forward(self, hidden: Tensor, attention: Tensor | None) -> Tensor:
        return hidden + self.up(self.down(hidden))


def test_layers_of_different_width_are_told_apart():
    model = toy_model()
    assert isinstance(model.backbone, BertBackbone)
    model.backbone.layers[1] = Narrow()
    assert [layer.linear for layer in model_cost(model).layers] == [Polynomial(0, 8192), Polynomial(0, 512)]


def test_training_mode_weights_and_gradients_are_left_alone():
    model = toy_model(dropout=0.3).train()
    model.heads["1"].eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model_cost(model)
    assert model.training and model.heads["2"].training and not model.heads["1"].training
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert torch.is_grad_enabled()


def test_nothing_is_logged_or_warned(caplog: pytest.LogCaptureFixture):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model_cost(toy_model())
    assert caught == []
    assert caplog.records == []


def test_the_trace_runs_the_real_modules():
    model, state = toy_model(), State(torch.zeros(1, 4, 32), torch.ones(1, 4, dtype=torch.bool), None)
    assert model.classify(1, state).shape == (1, 3)
    head = measure(model.heads["1"].classifier, lambda length: (torch.zeros(1, 32),))
    assert head == Operations(linear=Polynomial(96))
