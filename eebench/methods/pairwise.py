"""Pairwise mutual learning: GAML-BERT's pilot experiment, two exits that learn together and from each other."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from eebench.losses import exit_losses, pairwise_divergences
from eebench.methods.base import Method
from eebench.model import Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms

Teaching = Literal["joint", "deep_to_shallow", "shallow_to_deep", "mutual"]
SHALLOW, DEEP = 0, 1


class PairwiseOptions(TrainingOptions):
    """GAML-BERT's protocol on two exits (Sec. 3.1; hyper-parameters per task in its Table 6).

    The losses are summed. Table 6 tunes a weight of the distillation term (0.2 on CoLA, 0.1 on SST-2) without
    saying how it enters the sum; `kd_weight` multiplies the divergences. Fine-tuning one exit alone, the first
    rows of Table 1, is `first-k` with k = i and `finetune`.
    """

    epochs: int = 15
    warmup_epochs: float | None = 1.0
    weight_decay: float = 0.0
    select: Literal["last", "best"] = "best"
    holdout: float = 0.1
    patience: int | None = 5
    pair: tuple[int, int] = Field(
        (6, 12), description="the two layers with an exit; the later is the last kept"
    )
    teaching: Teaching = Field("mutual", description="who learns from whom besides the labels")
    kd_weight: float = Field(1.0, ge=0, description="factor of the divergences in the sum")

    @field_validator("pair", mode="before")
    @classmethod
    def _from_list(cls, pair: Any) -> Any:
        return tuple(pair) if isinstance(pair, list) else pair  # YAML has no tuples

    @field_validator("pair")
    @classmethod
    def _in_order(cls, pair: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= pair[0] < pair[1]:
            raise ValueError("write two layers, the shallow one first, counted from 1: [6, 12]")
        return pair


def pairwise_loss(outputs: Outputs, labels: Tensor, step: Step, options: PairwiseOptions) -> Terms:
    """CE_i + CE_j, plus the divergences from the detached teacher that `teaching` asks for (Sec. 3.1).

    Exit i learns from j through KL(p_j || p_i) (deep_to_shallow), j from i through KL(p_i || p_j).
    """
    ce = exit_losses(outputs.logits, labels).sum()
    if options.teaching == "joint":
        return {"loss": ce}
    divergences = pairwise_divergences(outputs.logits)
    kd = torch.zeros_like(ce)
    if options.teaching in ("deep_to_shallow", "mutual"):
        kd = kd + divergences[DEEP, SHALLOW]
    if options.teaching in ("shallow_to_deep", "mutual"):
        kd = kd + divergences[SHALLOW, DEEP]
    return {"loss": ce + options.kd_weight * kd, "ce": ce, "kd": kd}


class Pairwise(Method):
    """Exits after layers i and j of the first j layers, trained together in one stage."""

    name, title, default_rule = "pairwise", "Pairwise mutual learning", "budgeted"
    paper = "GAML-BERT (Zhu et al. 2021), Table 1"
    options_type = PairwiseOptions
    regression = False

    def label(self, options: TrainingOptions) -> str:
        own = _own(options)
        return f"pairwise-{own.pair[0]}-{own.pair[1]}-{own.teaching.replace('_', '-')}"

    def heading(self, options: TrainingOptions) -> str:
        own = _own(options)
        return f"Exits {own.pair[0]} and {own.pair[1]}, {own.teaching.replace('_', ' ')}"

    def depth(self, options: TrainingOptions, layers: int) -> int:
        return _own(options).pair[1]

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return _own(options).pair

    def stages(self, options: TrainingOptions) -> list[Stage]:
        return [Stage("pairwise", options.epochs, options.lr, partial(pairwise_loss, options=_own(options)))]


def _own(options: TrainingOptions) -> PairwiseOptions:
    assert isinstance(options, PairwiseOptions)
    return options
