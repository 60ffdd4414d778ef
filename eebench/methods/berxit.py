"""BERxiT: alternating training, and a learned score that says when to leave."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field
from torch import Tensor, nn

from eebench.backbones.base import Backbone, State
from eebench.backbones.evaluation import linear
from eebench.heads import ExitHead, HeadConfig, exit_heads
from eebench.losses import exit_losses
from eebench.methods.base import Method
from eebench.model import MultiExitModel, Outputs
from eebench.rules.base import Signals
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms


class ScoredModel(MultiExitModel):
    """A multi-exit model with one linear map H -> 1, shared by all exits, that scores each pooled vector."""

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module]) -> None:
        super().__init__(backbone, heads)
        self.scorer = nn.Linear(backbone.width, 1)
        nn.init.normal_(self.scorer.weight, std=0.02)
        nn.init.zeros_(self.scorer.bias)

    def signals(self, layer: int, state: State) -> Signals:
        head = self.heads[str(layer)]
        assert isinstance(head, ExitHead)
        pooled = head.pooled(state)
        certainty = torch.sigmoid(linear(self.scorer, pooled).float())[:, 0]
        return Signals(self.in_units(head.read(pooled)), certainty)


class BerxitOptions(TrainingOptions):
    """The released recipe: batch 8, three epochs, no warm-up, no decay, own poolers.

    Steps alternate: an even step trains the last exit alone, an odd one all exits. With the learned score the
    code leaves the last exit out of odd steps; the paper does not, and is followed (`joint_with_last`).
    """

    epochs: int = 3
    batch_size: int = 8
    warmup_share: float = 0.0
    weight_decay: float = 0.0
    head: HeadConfig = HeadConfig(pooler="own")
    learn_score: bool = Field(True, description="train the learned score beside the exits")
    joint_with_last: bool = Field(True, description="odd steps train the last exit too")


def score_loss(outputs: Outputs, labels: Tensor) -> Tensor:
    """Mean squared error of the certainty against being right, over exits and batch.

    The target is 1 for a right answer and 0 for a wrong one; for regression it is 1 - tanh(|y_i - y|), where the
    distance is in standard deviations of train's scores (the code: in the task's own units).
    """
    assert outputs.scores is not None
    logits = outputs.logits.detach()
    if logits.shape[2] == 1:
        target = 1 - torch.tanh((logits[..., 0] - labels).abs())
    else:
        target = (logits.argmax(dim=-1) == labels).float()
    return (outputs.scores - target).square().mean()


def alternating_loss(outputs: Outputs, labels: Tensor, step: Step, options: BerxitOptions) -> Terms:
    """Even steps: the last exit's loss. Odd steps: the sum over exits. Both: the score's loss."""
    logits = outputs.logits
    if step.number % 2 == 0:
        loss = exit_losses(logits[-1:], labels).sum()
    else:
        loss = exit_losses(logits if options.joint_with_last else logits[:-1], labels).sum()
    if not options.learn_score:
        return {"loss": loss}
    score = score_loss(outputs, labels)
    return {"loss": loss + score, "score": score}


class Berxit(Method):
    """Alternating training with learning-to-exit."""

    name, title, default_rule = "berxit", "BERxiT", "learned"
    paper = "BERxiT (Xin et al. 2021)"
    options_type = BerxitOptions

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        assert isinstance(options, BerxitOptions)
        layers = self.exit_layers(options, backbone.depth)
        heads = exit_heads(backbone, classes, options.head, layers)
        return ScoredModel(backbone, heads) if options.learn_score else MultiExitModel(backbone, heads)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, BerxitOptions)
        objective = partial(alternating_loss, options=options)
        return [Stage("alternating", options.epochs, options.lr, objective)]
