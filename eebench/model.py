"""A backbone with exits: the one model class that training, tracing and leaving early share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, State
from eebench.rules.base import Signals


@dataclass(frozen=True)
class Outputs:
    """What one forward pass through all exits gives, exits in depth order.

    Shapes: `logits` fp32 [E, B, C]; `scores` fp32 [E, B], learned certainties, None for models without.
    """

    logits: Tensor
    scores: Tensor | None = None


class MultiExitModel(nn.Module):
    """Backbone plus one head after each layer in `exit_layers` (1-based, ascending).

    `embed`, `advance` and `signals` are the three steps of leaving early; `forward` runs them all. Parts whose
    names start with one of `training_only` are not needed at inference.
    """

    training_only: ClassVar[tuple[str, ...]] = ()

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.exit_layers = tuple(sorted(heads))
        self.heads = nn.ModuleDict({str(layer): heads[layer] for layer in self.exit_layers})

    @property
    def depth(self) -> int:
        """Layers that a sample passes which never leaves early."""
        return self.exit_layers[-1]

    def embed(self, batch: Batch) -> State:
        """The state before layer 1."""
        return self.backbone.embed(batch)

    def advance(self, layer: int, state: State) -> State:
        """The state after `layer`."""
        return self.backbone.layer(layer, state)

    def classify(self, layer: int, state: State) -> Tensor:
        """Logits [B, C] of the exit after `layer`, in fp32 whatever the autocast."""
        logits: Tensor = self.heads[str(layer)](state)
        return logits.float()

    def signals(self, layer: int, state: State) -> Signals:
        """Everything that the exit after `layer` shows a rule."""
        return Signals(self.classify(layer, state))

    def onward(self, layer: int, state: State) -> State:
        """What the next layer gets once the exit after `layer` has read the state (training only)."""
        return state

    def forward(self, batch: Batch) -> Outputs:
        """All exits in one pass."""
        state = self.embed(batch)
        seen = []
        for layer in range(1, self.depth + 1):
            state = self.advance(layer, state)
            if layer in self.exit_layers:
                seen.append(self.signals(layer, state))
            state = self.onward(layer, state)
        return gather(seen)

    @property
    def classes(self) -> int:
        """Width of the exits' output (1 for regression)."""
        width: int = self.heads[str(self.depth)].classes  # type: ignore[assignment]
        return width

    def parameter_count(self) -> int:
        """Parameters needed at inference, shared ones once."""
        return sum(
            parameter.numel()
            for name, parameter in self.named_parameters()
            if not name.startswith(self.training_only)
        )


def gather(seen: list[Signals]) -> Outputs:
    """The exits' signals as one tensor of each kind."""
    logits = torch.stack([signals.required_logits() for signals in seen])
    scores = [signals.score for signals in seen if signals.score is not None]
    return Outputs(logits, torch.stack(scores) if scores else None)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, each tensor once (a shared pooler is stored under its first name)."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copies `weights` into the model; names and shapes must match exactly."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != weights.keys():
        odd = sorted(parameters.keys() ^ weights.keys())
        raise ValueError(f"weights do not belong to this model: {odd[:3]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def copy_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies `weights` into the parameters of the same names; the others stay as they are."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)
