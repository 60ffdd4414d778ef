"""Small random models of every kind whose rows leave at many exits, and rows to run them on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
)

from eebench.backbones.albert import AlbertBackbone
from eebench.backbones.base import Backbone
from eebench.backbones.bert import BertBackbone
from eebench.backbones.distilbert import DistilBertBackbone
from eebench.backbones.mpnet import MPNetBackbone
from eebench.backbones.tokens import Encoded, pack
from eebench.cascades import CascadeModel, Member
from eebench.gates import GatedModel
from eebench.heads import HeadConfig, exit_heads
from eebench.methods.berxit import ScoredModel
from eebench.model import MultiExitModel
from eebench.rules.base import Rule
from eebench.rules.catalogue import RULES, rule_family
from eebench.slender import keep_heads, keep_neurons
from eebench.trace import Trace, trace_model

DEPTH = 5
SMALL = {
    "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 48,
    "initializer_range": 0.3, "max_position_embeddings": 60,
}  # fmt: skip
DISTIL = {
    "vocab_size": 50, "dim": 24, "n_heads": 3, "hidden_dim": 48, "n_layers": DEPTH,
    "initializer_range": 0.3, "max_position_embeddings": 60,
}  # fmt: skip


def bert(depth: int = DEPTH) -> Backbone:
    return BertBackbone(BertModel(BertConfig(**SMALL, num_hidden_layers=depth)), "mean")


def mpnet() -> Backbone:
    model = MPNetModel(MPNetConfig(**SMALL, num_hidden_layers=DEPTH))
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight, std=2.0)
    return MPNetBackbone(model, "mean")


def slender() -> Backbone:
    """Layers of different widths inside, as pruning leaves them."""
    backbone = bert()
    for layer, module in enumerate(backbone.layers):
        keep_heads(module, range(1 + layer % 3))
        keep_neurons(module, range(10 + 7 * layer))
    return backbone


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "bert": bert,
    "mpnet": mpnet,
    "albert": lambda: AlbertBackbone(
        AlbertModel(AlbertConfig(**SMALL, num_hidden_layers=DEPTH, embedding_size=8)), "mean"
    ),
    "distilbert": lambda: DistilBertBackbone(DistilBertModel(DistilBertConfig(**DISTIL)), "mean"),
    "slender": slender,
}


def with_spread(model: MultiExitModel) -> MultiExitModel:
    """Heads whose answers differ from row to row."""
    for name, parameter in model.named_parameters():
        if name.startswith(("heads.", "scores.", "gates.")) and parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def gated() -> MultiExitModel:
    backbone = bert()
    heads = exit_heads(backbone, 2, HeadConfig(attention="smartbert"), tuple(range(1, DEPTH + 1)))
    return GatedModel(backbone, heads, 0.5)


def cascade() -> MultiExitModel:
    members = []
    for depth in (1, 2, 3):
        backbone = bert(depth)
        members.append(Member(backbone, exit_heads(backbone, 2, HeadConfig(), (depth,))[depth]))
    return CascadeModel(members)


KINDS = [*BACKBONES, "gated", "cascade"]


@pytest.fixture
def model_of() -> Callable[..., MultiExitModel]:
    """`model_of("mpnet")` has scores, similarities and logits at five exits; `gated` and `cascade` are models too."""

    def make(kind: str, classes: int = 2) -> MultiExitModel:
        torch.manual_seed(0)
        if kind in ("gated", "cascade"):
            return with_spread(gated() if kind == "gated" else cascade())
        backbone = BACKBONES[kind]()
        heads = exit_heads(backbone, classes, HeadConfig(pooler="none"), tuple(range(1, DEPTH + 1)))
        return with_spread(ScoredModel(backbone, heads))

    return make


def random_rows(count: int = 60, seed: int = 0) -> Encoded:
    """Rows of 3 to 20 tokens."""
    random = np.random.default_rng(seed)
    ids = [random.integers(3, 50, size=random.integers(3, 21)).tolist() for _ in range(count)]
    return pack(ids, [[0] * len(row) for row in ids], 1)


@pytest.fixture
def encoded() -> Encoded:
    return random_rows()


@pytest.fixture
def trace_of(encoded: Encoded) -> Callable[[MultiExitModel], Trace]:
    """The trace of a model on those rows."""
    return lambda model: trace_model(
        model, encoded, np.zeros(len(encoded), dtype=np.int64), torch.device("cpu")
    )


@pytest.fixture
def rules_for() -> Callable[[Trace], list[tuple[Rule, float]]]:
    """Every rule that is defined on a trace, at the setting under which rows use the most exits."""
    from eebench.replay import defined, exit_indices

    def spread(trace: Trace, rule: Rule, threshold: float) -> int:
        return len(exit_indices(rule, trace, [threshold]).unique())

    def choose(trace: Trace) -> list[tuple[Rule, float]]:
        found = []
        for name in RULES:
            choices = [
                (rule, threshold) for rule in rule_family(name) if defined(rule, trace)
                for threshold in rule.grid(trace.geometry)
            ]  # fmt: skip
            if choices:
                found.append(max(choices, key=lambda choice: spread(trace, *choice)))
        return found

    return choose
