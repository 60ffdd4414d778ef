"""A backbone with exits: the one model class that training, tracing and leaving early share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, State


@dataclass(frozen=True)
class Outputs:
    """What one forward pass through all exits gives: `logits` fp32 [E, B, C], exits in depth order."""

    logits: Tensor


class MultiExitModel(nn.Module):
    """Backbone plus one head after each layer in `exit_layers` (1-based, ascending).

    `embed`, `advance` and `classify` are the three steps of leaving early; `forward` runs them all.
    """

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

    def forward(self, batch: Batch) -> Outputs:
        """Logits of all exits in one pass."""
        state = self.embed(batch)
        logits = []
        for layer in range(1, self.depth + 1):
            state = self.advance(layer, state)
            if layer in self.exit_layers:
                logits.append(self.classify(layer, state))
        return Outputs(torch.stack(logits))

    @property
    def classes(self) -> int:
        """Width of the exits' output (1 for regression)."""
        width: int = self.heads[str(self.depth)].classes  # type: ignore[assignment]
        return width

    def parameter_count(self) -> int:
        """Parameters needed at inference, shared ones once."""
        return sum(parameter.numel() for parameter in self.parameters())


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
