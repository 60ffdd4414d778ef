"""The parts of one encoder and what each costs: the rows of SmartBERT's Table 2, and whole models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch
from torch import nn

from eebench.backbones.architectures import architecture_of
from eebench.backbones.base import Backbone
from eebench.cost.components import measure, model_cost
from eebench.cost.operations import ModelCost, Operations
from eebench.cost.paths import full_operations, path_operations
from eebench.errors import UserError
from eebench.heads import HeadConfig, Pooler, PoolerForm, exit_heads
from eebench.model import MultiExitModel

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

HEAD_FORMS: tuple[PoolerForm, ...] = get_args(PoolerForm)


@dataclass(frozen=True)
class Component:
    """One row; a row of `level` 1 is part of the level 0 row above it. Shared `parameters` count once."""

    name: str
    level: int
    operations: Operations
    parameters: int


def breakdown(config: PreTrainedConfig, classes: int, head: str) -> list[Component]:
    """Rows in reading order: embedding, one layer and its parts, pooler, linear head, two whole models.

    The layer is the first one; its parts are left out where it holds more than one attention. The pooler is the
    ordinary classifier's, whether or not the backbone comes with a pretrained one.

    `head` is the pooler form of the exits in the last row (`heads.PoolerForm`): own (DeeBERT), shared
    (PABEE), tanh (COST-EFF), none. Exits read [CLS]. Raises UserError for another form or for fewer than one
    class. Nothing is initialised: all modules are built on the `meta` device.
    """
    pooler = _pooler_form(head)
    if classes < 1:
        raise UserError(f"a classifier needs classes, not {classes}; give 1 or more.")
    backbone = architecture_of({"model_type": config.model_type}, "the configuration").skeleton(config)
    with torch.device("meta"):
        heads = exit_heads(
            backbone,
            classes,
            HeadConfig(pooling="cls", pooler=pooler, dropout=0.0),
            tuple(range(1, backbone.depth + 1)),
        )
        cost = model_cost(MultiExitModel(backbone, dict(heads)))
        return [
            Component("embedding", 0, cost.embedding, _parameters(backbone) - _parameters(backbone.layers)),
            *_layer_rows(backbone.layers[0], cost.layers[0], backbone.width),
            *_classifier_rows(backbone, classes, cost),
            _all_exits_row(backbone, cost, nn.ModuleList(heads.values())),
        ]


def _pooler_form(head: str) -> PoolerForm:
    for form in HEAD_FORMS:
        if head == form:
            return form
    raise UserError(f"unknown head '{head}'; choose one of: {', '.join(HEAD_FORMS)}.")


def _layer_rows(layer: nn.Module, whole: Operations, width: int) -> list[Component]:
    """One layer, split as papers print it; its LayerNorms belong to the layer and to none of its parts."""
    row = Component("transformer layer", 0, whole, _parameters(layer))
    found = [part for name, part in layer.named_modules() if name.split(".")[-1] == "attention"]
    if len(found) != 1:
        return [row]
    attention = found[0]
    projections = measure(attention, lambda length: (torch.zeros(1, length, width),)).linear
    inside = _linear_parameters(attention)
    feed_forward = Operations(linear=whole.linear - projections)
    return [
        row,
        Component("Q, K, V, O projections", 1, Operations(linear=projections), inside),
        Component("feed-forward", 1, feed_forward, _linear_parameters(layer) - inside),
        Component("attention products", 1, Operations(matmul=whole.matmul), 0),
    ]


def _classifier_rows(backbone: Backbone, classes: int, cost: ModelCost) -> list[Component]:
    """The ordinary classifier's two parts, and the single-exit model that ends in it."""
    width = backbone.width
    pooler, head = Pooler(width), nn.Linear(width, classes)
    single = _parameters(backbone) + _parameters(pooler) + _parameters(head)
    return [
        Component("pooler", 0, measure(pooler, lambda _: (torch.zeros(1, width),)), _parameters(pooler)),
        Component("exit classifier", 0, measure(head, lambda _: (torch.zeros(1, width),)), _parameters(head)),
        Component("whole model, one exit", 0, full_operations(cost), single),
    ]


def _all_exits_row(backbone: Backbone, cost: ModelCost, heads: nn.ModuleList) -> Component:
    """The price of never leaving early: every layer and every exit."""
    operations = path_operations(cost, tuple(cost.exits), backbone.depth, "all")
    parameters = _parameters(backbone) + _parameters(heads)
    return Component("whole model, an exit per layer", 0, operations, parameters)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _linear_parameters(module: nn.Module) -> int:
    return sum(_parameters(part) for part in module.modules() if isinstance(part, nn.Linear))
