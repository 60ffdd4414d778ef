"""Plain fine-tuning: the single-exit reference, and the first k layers of it (BERT-kL)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from eebench.heads import HeadConfig
from eebench.losses import exit_losses
from eebench.methods.base import Method
from eebench.model import Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms


def last_exit_loss(outputs: Outputs, labels: Tensor, step: Step) -> Terms:
    """Cross-entropy of the last exit."""
    return {"loss": exit_losses(outputs.logits[-1:], labels)[0]}


class FinetuneOptions(TrainingOptions):
    """BERT's recipe: the last layer's pooled state, AdamW, three epochs."""

    head: HeadConfig = HeadConfig(pooler="own")


class Finetune(Method):
    """One exit at the last layer, cross-entropy, everything trained."""

    name, title, default_rule = "finetune", "Fine-tuned", "budgeted"
    paper = "BERT (Devlin et al. 2019)"
    options_type: ClassVar[type[TrainingOptions]] = FinetuneOptions

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return (depth,)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        return [Stage("finetune", options.epochs, options.lr, last_exit_loss)]


class FirstKOptions(FinetuneOptions):
    """`k`: how many layers are kept."""

    k: int = Field(6, ge=1, description="layers kept, from the first")


class FirstK(Finetune):
    """The first k layers of the pretrained backbone, fine-tuned: the static frontier every plot needs."""

    name, title = "first-k", "First k layers"
    paper = "BERT-kL (GAML-BERT Table 2)"
    options_type: ClassVar[type[TrainingOptions]] = FirstKOptions

    def label(self, options: TrainingOptions) -> str:
        return f"first-{_k(options)}"

    def heading(self, options: TrainingOptions) -> str:
        return f"First {_k(options)} layers" if _k(options) > 1 else "First layer"

    def depth(self, options: TrainingOptions, layers: int) -> int:
        return _k(options)


def _k(options: TrainingOptions) -> int:
    assert isinstance(options, FirstKOptions)
    return options.k
