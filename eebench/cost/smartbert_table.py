"""SmartBERT's Table 2 and the whole models of its Table 1, from the real modules; convention `linear_2mac`, 128 tokens.

Whole models are printed as millions of MACs rounded to an integer, then doubled; components as millions of MACs cut
to one decimal, then doubled (of the gate, each of its two larger maps is cut on its own). Read so, every cell is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import floor
from typing import Any, Literal

import torch
from torch import Tensor, nn

from eebench.backbones.base import State
from eebench.backbones.bert import BertBackbone
from eebench.cost.components import measure, model_cost
from eebench.cost.configs import shape_config
from eebench.cost.operations import ModelCost, Operations
from eebench.cost.paths import full_operations, path_operations
from eebench.cost.shapes import SHAPES
from eebench.gates import Gate
from eebench.heads import AttentionHead, HeadConfig, exit_heads
from eebench.model import MultiExitModel

TOKENS, CLASSES, WIDTH = 128, 2, 768
TITLE = f"SmartBERT Tables 1 and 2: FLOPs of components and whole models, {TOKENS} tokens, {CLASSES} classes"
CAPTION = "linear_2mac, in millions; residual: the printed number minus the exact one, and minus it as read"
COLUMNS: tuple[str, ...] = ("operation", "exact", "printed", "residual", "read as", "residual")

Reading = Literal["rounded MMAC x 2", "cut MMAC x 2", "cut parts x 2"]


@dataclass(frozen=True)
class Row:
    """One printed number: `parts` are the MACs of what it sums, `printed` is in millions of FLOP."""

    operation: str
    parts: tuple[int, ...]
    printed: str
    reading: Reading

    @property
    def exact(self) -> Fraction:
        """Millions of FLOP, two per MAC."""
        return Fraction(2 * sum(self.parts), 10**6)

    @property
    def read(self) -> Fraction:
        """Millions of FLOP, rounded as the paper does."""
        if self.reading == "rounded MMAC x 2":
            return Fraction(2 * round(Fraction(sum(self.parts), 10**6)))
        parts = (sum(self.parts),) if self.reading == "cut MMAC x 2" else self.parts
        return Fraction(2 * sum(floor(Fraction(part, 10**5)) for part in parts), 10)

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        printed = Fraction(self.printed)
        return (self.operation, f"{float(self.exact):.3f}", self.printed, f"{float(printed - self.exact):+.3f}",
                self.reading, f"{float(printed - self.read):+.1f}")  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The JSON answer."""
        return {
            "operation": self.operation, "mflop": float(self.exact), "printed": self.printed,
            "reading": self.reading, "residual": float(Fraction(self.printed) - self.read),
        }  # fmt: skip


@cache
def smartbert_rows() -> tuple[Row, ...]:
    """Components, then whole models."""
    bert, half = encoder("bert-base-uncased"), encoder("distilbert-6l")
    fast, dee = encoder("bert-base-uncased", "smartbert"), encoder("bert-base-uncased", "own")
    layer, head = macs(bert.layers[0]), attention_head()
    # The two maps that see every token; the last one sees [CLS] alone and rounds away.
    narrow, projections = WIDTH * Gate.WIDTH * TOKENS, 3 * Gate.WIDTH**2 * TOKENS
    rest = gate() - narrow - projections
    return (
        Row("transformer layer", (layer,), "1811.8", "cut MMAC x 2"),
        Row("classifier", (head,), "37.6", "cut MMAC x 2"),
        Row("skipping gate", (narrow, projections, rest), "37.4", "cut parts x 2"),
        Row("BERT", (macs(full_operations(bert)),), "21744", "rounded MMAC x 2"),
        Row("DistillBERT", (macs(full_operations(half)),), "10872", "rounded MMAC x 2"),
        Row("FastBERT, all layers", (whole(fast),), "22196", "rounded MMAC x 2"),
        Row("DeeBERT, all layers", (whole(dee),), "21758", "rounded MMAC x 2"),
    )


def encoder(shape: str, heads: Literal["smartbert", "own"] = "own") -> ModelCost:
    """Costs of a BERT of that shape with an exit after every layer."""
    from transformers import BertModel

    form = HeadConfig(attention="smartbert") if heads == "smartbert" else HeadConfig(pooler="own")
    with torch.device("meta"):
        backbone = BertBackbone(BertModel(shape_config(SHAPES[shape]), add_pooling_layer=False))
        layers = tuple(range(1, backbone.depth + 1))
        return model_cost(MultiExitModel(backbone, dict(exit_heads(backbone, CLASSES, form, layers))))


def whole(cost: ModelCost) -> int:
    """MACs of never leaving: every layer and every exit."""
    layers = tuple(cost.exits)
    return macs(path_operations(cost, layers, layers[-1], "all"))


def macs(operations: Operations) -> int:
    """MACs of linear maps at 128 tokens."""
    return int(operations.linear(TOKENS))


def attention_head() -> int:
    """MACs of one exit."""
    with torch.device("meta"):
        return _alone(AttentionHead(WIDTH, CLASSES, "smartbert"))


def gate() -> int:
    """MACs of one gate."""
    with torch.device("meta"):
        return _alone(Gate(WIDTH))


class _OnStates(nn.Module):
    """A module that reads a state, as one that reads its tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.module(State(hidden, mask, None))
        return found


def _alone(module: nn.Module) -> int:
    def inputs(length: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, length, WIDTH), torch.ones(1, length, dtype=torch.bool)

    return macs(measure(_OnStates(module), inputs))
