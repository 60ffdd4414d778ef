"""COST-EFF's Table 3, its columns of parameters and FLOPs, from shapes alone.

Convention `torch110_profiler`, 128 tokens, two classes. Dynamic models stand at full depth, all layers and no head
(heads add less than 0.1%): what the printed reduction saves beyond that comes from leaving early, and tells how
many layers were executed on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from eebench.backbones.bert import BertBackbone
from eebench.cost.components import model_cost
from eebench.cost.configs import shape_config
from eebench.cost.conventions import convention, flops
from eebench.cost.operations import ModelCost, Operations
from eebench.cost.paths import full_operations
from eebench.cost.shapes import SHAPES
from eebench.heads import HeadConfig, PoolerForm, exit_heads
from eebench.model import MultiExitModel
from eebench.slender import Size, shrink

TOKENS, CLASSES = 128, 2
REFERENCE = "bert-base-uncased"


@dataclass(frozen=True)
class Printed:
    """One row of the paper: its model, the shape it is built from, and the reductions as printed.

    `head` is the pooler of the exits; `dynamic` says that the model may leave early; `size` is what COST-EFF keeps.
    """

    model: str
    shape: str
    parameters: str
    flops: str
    head: PoolerForm = "own"
    dynamic: bool = False
    size: Size | None = None


ROWS = (
    Printed("BERT_Base", REFERENCE, "1.0", "1.0"),
    Printed("BERT_8L-256H", "bert-8l-256h", "7.6", "13.5"),
    Printed("TinyBERT4", "tinybert-4l", "7.6", "18.6"),
    Printed("DeeBERT_12L-256H", "bert-12l-256h", "6.0", "14.9", dynamic=True),
    Printed("PABEE_12L-256H", "bert-12l-256h", "6.3", "14.5", "shared", dynamic=True),
    Printed("COST-EFF_8x", REFERENCE, "7.9", "19.0", "tanh", True, Size(2, 256, 128)),
    Printed("BERT_6L-768H", "bert-6l-768h", "1.6", "2.0"),
    Printed("DistilBERT6", "distilbert-6l", "1.6", "2.0"),
    Printed("TinyBERT6", "tinybert-6l", "1.6", "2.0"),
    Printed("ElasticBERT_6L", "elasticbert-6l", "1.6", "2.4", "none", dynamic=True),
    Printed("DeeBERT_12L-512H", "bert-12l-512h", "1.9", "2.2", dynamic=True),
    Printed("PABEE_12L-512H", "bert-12l-512h", "2.0", "2.2", "shared", dynamic=True),
    Printed("COST-EFF_2x", REFERENCE, "2.0", "2.4", "tanh", True, Size(6, 1536, 384)),
    Printed("COST-EFF_8x, simple inputs", REFERENCE, "7.9", "20.3", "tanh", True, Size(2, 256, 128)),
)


@dataclass(frozen=True)
class Row:
    """A printed row and what its shape gives; `layers` and `before` split `flops` of dynamic models for leaving."""

    printed: Printed
    parameters: int
    flops: int
    per_layer: int
    before: int
    reference: Reference

    @property
    def parameter_ratio(self) -> float:
        """BERT-base's parameters over this model's."""
        return self.reference.parameters / self.parameters

    @property
    def flop_ratio(self) -> float:
        """BERT-base's FLOPs over this model's at full depth."""
        return self.reference.flops / self.flops

    @property
    def executed(self) -> float | None:
        """Layers executed on average, as the printed reduction implies; None for models that never leave early."""
        if not self.printed.dynamic:
            return None
        return (self.reference.flops / float(self.printed.flops) - self.before) / self.per_layer

    def as_dict(self) -> dict[str, Any]:
        """The JSON answer."""
        return {
            "model": self.printed.model,
            "parameters": self.parameters,
            "parameter_ratio": round(self.parameter_ratio, 4),
            "printed_parameter_ratio": self.printed.parameters,
            "flops": self.flops,
            "flop_ratio": round(self.flop_ratio, 4),
            "printed_flop_ratio": self.printed.flops,
            "executed_layers": None if self.executed is None else round(self.executed, 2),
        }

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        layers = "" if self.executed is None else f"{self.executed:.2f}"
        return (
            self.printed.model, f"{self.parameters:,}", f"{self.parameter_ratio:.3f}", self.printed.parameters,
            f"{self.flops / 1e6:.2f}", f"{self.flop_ratio:.3f}", self.printed.flops, layers,
        )  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """BERT-base with its classifier: 109,483,778 parameters and 21,749.27 MFLOP."""

    parameters: int
    flops: int


COLUMNS: tuple[str, ...] = (
    "model",
    "parameters",
    "ratio",
    "printed",
    "MFLOP",
    "ratio",
    "printed",
    "layers executed",
)
TITLE = f"COST-EFF Table 3: reductions of {REFERENCE}, {TOKENS} tokens, {CLASSES} classes"
CAPTION = "torch110_profiler; dynamic models at full depth without heads, and the layers that their printed FLOPs imply"


@cache
def costeff_rows() -> tuple[Row, ...]:
    """All rows in the paper's order, the first is the reference."""
    built = [(row, *measured(row)) for row in ROWS]
    named = convention("torch110_profiler")
    _, parameters, cost = built[0]
    reference = Reference(parameters, flops(full_operations(cost), TOKENS, named))
    return tuple(
        Row(
            row, parameters, flops(at_full_depth(cost, row.dynamic), TOKENS, named),
            flops(cost.layers[0], TOKENS, named), flops(cost.embedding, TOKENS, named), reference,
        )
        for row, parameters, cost in built
    )  # fmt: skip


def at_full_depth(cost: ModelCost, dynamic: bool) -> Operations:
    """Embedding and all layers, with the ordinary classifier unless the model is dynamic."""
    return sum(cost.layers, start=cost.embedding) if dynamic else full_operations(cost)


def measured(row: Printed) -> tuple[int, ModelCost]:
    """Parameters and costs of the row's model, built without weights."""
    from transformers import BertModel

    with torch.device("meta"):
        backbone = BertBackbone(BertModel(shape_config(SHAPES[row.shape]), add_pooling_layer=False))
        if row.size is not None:
            shrink(backbone, row.size)
        layers = tuple(range(1, backbone.depth + 1)) if row.dynamic else (backbone.depth,)
        heads: dict[int, nn.Module] = exit_heads(backbone, CLASSES, HeadConfig(pooler=row.head), layers)
        model = MultiExitModel(backbone, heads)
        return model.parameter_count(), model_cost(model)
