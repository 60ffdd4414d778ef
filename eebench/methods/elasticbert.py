"""ElasticBERT fine-tuning: all exits at once, with gradient equilibrium."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from torch import nn

from eebench.backbones.base import Backbone, State
from eebench.equilibrium import scale_gradient
from eebench.heads import HeadConfig, exit_heads
from eebench.losses import ExitWeights
from eebench.methods.joint import Joint, JointOptions
from eebench.model import MultiExitModel
from eebench.training.options import TrainingOptions


class BalancedModel(MultiExitModel):
    """A multi-exit model whose layers receive the average gradient of the exits after them (training only)."""

    def _exits_from(self, layer: int) -> int:
        return sum(exit_layer >= layer for exit_layer in self.exit_layers)

    def advance(self, layer: int, state: State) -> State:
        state = super().advance(layer, state)
        if not self.training:
            return state
        return replace(state, hidden=scale_gradient(state.hidden, 1.0 / self._exits_from(layer)))

    def onward(self, layer: int, state: State) -> State:
        if not self.training or layer == self.depth:
            return state
        return replace(state, hidden=scale_gradient(state.hidden, float(self._exits_from(layer + 1))))


class ElasticbertOptions(JointOptions):
    """The released dynamic fine-tuning: plain sum, weight decay 0.1, warm-up 6%, five epochs, own poolers.

    One checkpoint serves the whole curve, the epoch with the best mean over exits; the released code picks another one
    for each threshold.
    """

    epochs: int = 5
    warmup_share: float = 0.06
    weight_decay: float = 0.1
    select: Literal["last", "best"] = "best"
    exit_weights: ExitWeights = "sum"
    head: HeadConfig = HeadConfig(pooler="own")
    gradient_equilibrium: bool = Field(True, description="average the exits' gradients in each layer")
    layers: int | None = Field(None, ge=1, description="layers kept, from the first; None: all")

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves the number of layers out where nobody asked for one: whole models keep their runs' names."""
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if key != "layers" or value is not None}


class Elasticbert(Joint):
    """Joint training by plain sum with gradient equilibrium; entropy and patience rules are both its own."""

    name, title, default_rule = "elasticbert", "ElasticBERT", "entropy"
    paper = "ElasticBERT (Liu et al. 2022)"
    options_type = ElasticbertOptions
    version = 2

    def label(self, options: TrainingOptions) -> str:
        kept = _kept(options)
        return self.name if kept is None else f"{self.name}-{kept}"

    def heading(self, options: TrainingOptions) -> str:
        kept = _kept(options)
        return self.title if kept is None else f"{self.title}, first {kept} layer{'s' if kept > 1 else ''}"

    def depth(self, options: TrainingOptions, layers: int) -> int:
        return _kept(options) or layers

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        assert isinstance(options, ElasticbertOptions)
        layers = self.exit_layers(options, backbone.depth)
        heads: dict[int, nn.Module] = exit_heads(backbone, classes, options.head, layers)
        kind = BalancedModel if options.gradient_equilibrium else MultiExitModel
        return kind(backbone, heads)


def _kept(options: TrainingOptions) -> int | None:
    assert isinstance(options, ElasticbertOptions)
    return options.layers
