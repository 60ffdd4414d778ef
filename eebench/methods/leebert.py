"""A LeeBERT-style method: mutual distillation whose loss weights are learned over two halves of train.

An approximation: no code was published and the paper's optimisation loop is not known in detail. What is
known is that every exit learns from every other, that the weights of all loss terms are learned, and that
the weights' update uses gradients of both halves of train ("cross-level optimisation").

So the network learns from half of train alone, as one level of a bi-level problem over two splits does; whether the
authors' network sees the other half as well cannot be told from what is published. Its tables say "half of train":
its scores are those of half the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch
from eebench.heads import exit_heads
from eebench.losses import exit_losses, exit_weights, pairwise_divergences
from eebench.methods.base import Method
from eebench.methods.gaml import GamlProtocol
from eebench.model import HEADS, MultiExitModel, Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms


class LossWeights(nn.Module):
    """Learned weights of the loss terms: w [E] over exits, v [E, E] over ordered pairs; each sums to 1.

    w starts at i / sum(i), v at 1 / (E(E-1)), so training starts as ML-BERT with mean-normalised pairs.
    """

    def __init__(self, exits: int) -> None:
        super().__init__()
        self.exit_logits = nn.Parameter(exit_weights(exits, "depth").log())
        self.pair_logits = nn.Parameter(torch.zeros(exits, exits))

    def forward(self) -> tuple[Tensor, Tensor]:
        exits = len(self.exit_logits)
        itself = torch.eye(exits, dtype=torch.bool, device=self.pair_logits.device)
        pairs = self.pair_logits.masked_fill(itself, -torch.inf).flatten().softmax(dim=0)
        return self.exit_logits.softmax(dim=0), pairs.view(exits, exits)


@dataclass(frozen=True, kw_only=True)
class WeightedOutputs(Outputs):
    """Outputs with the current loss weights: `w` [E], `v` [E, E]."""

    w: Tensor
    v: Tensor


class LeebertModel(MultiExitModel):
    """A multi-exit model that carries its loss weights while it trains."""

    training_only: ClassVar[tuple[str, ...]] = ("loss_weights.",)

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module]) -> None:
        super().__init__(backbone, heads)
        self.loss_weights = LossWeights(len(heads))

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        w, v = self.loss_weights()
        return WeightedOutputs(logits=super().forward(batch, kinds).logits, w=w, v=v)


class LeebertOptions(GamlProtocol):
    """GAML-BERT's protocol, with the weights' own learning rate."""

    weights_lr: float = Field(1e-3, gt=0, description="learning rate of the loss weights")


def bilevel_loss(outputs: Outputs, labels: Tensor, step: Step, alpha: float) -> Terms:
    """The network's loss on half one with fixed weights, plus the weights' loss on both with a fixed network.

    A row belongs to half one when its number is even: a fixed half of train, half of each batch on average.
    """
    assert isinstance(outputs, WeightedOutputs)
    in_first = step.rows % 2 == 0
    network = weights = torch.zeros((), device=labels.device)
    for chosen, trains_network in ((in_first, True), (~in_first, False)):
        # Places instead of a mask: how many there are is known here, so the device is not asked.
        half = torch.from_numpy(np.flatnonzero(chosen)).to(labels.device, non_blocking=True)
        if not len(half):
            continue
        ce = exit_losses(outputs.logits[:, half], labels[half])
        kd = pairwise_divergences(outputs.logits[:, half])
        if trains_network:
            network = (1 - alpha) * (outputs.w.detach() * ce).sum() + alpha * (outputs.v.detach() * kd).sum()
        fixed = (1 - alpha) * (outputs.w * ce.detach()).sum() + alpha * (outputs.v * kd.detach()).sum()
        weights = weights + fixed
    # Each half of the sum has a gradient for one side only.
    return {"loss": network + weights, "network": network, "w_first": outputs.w[0], "w_last": outputs.w[-1]}


class Leebert(Method):
    """LeeBERT-style (an approximation, see the module): learned loss weights, patience rule.

    Minimising over w lets it drift to the exit with the lowest loss, so the history records its ends.
    """

    name, title, default_rule = "leebert", "LeeBERT-style (half of train)", "patience"
    paper = "LeeBERT (Zhu 2021), an approximation: no code was published"
    options_type = LeebertOptions
    regression = False

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        layers = self.exit_layers(options, backbone.depth)
        return LeebertModel(backbone, exit_heads(backbone, classes, options.head, layers))

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, LeebertOptions)
        factor = options.weights_lr / options.lr
        return [
            Stage(
                "bilevel", options.epochs, options.lr, partial(bilevel_loss, alpha=options.alpha),
                lr_factor=lambda name: factor if name.startswith("loss_weights.") else 1.0,
            )
        ]  # fmt: skip
