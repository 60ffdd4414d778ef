"""Attention-head pruning: the heads of a fine-tuned model that matter least are cut out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from pydantic import Field

from eebench.backbones.base import Backbone
from eebench.errors import UserError
from eebench.head_importance import head_counts, head_importance, normalised, remove_heads, without_least
from eebench.methods.base import Method, Need, Needed
from eebench.methods.finetune import FinetuneOptions, last_exit_loss
from eebench.methods.needs import finetuned
from eebench.model import MultiExitModel, copy_weights
from eebench.slender import keep_heads
from eebench.training.options import TrainingOptions
from eebench.training.stages import Examples, Stage


class HeadPruningOptions(FinetuneOptions):
    """The paper's procedure on a `finetune` run, down to a given share of heads; nothing is trained afterwards.

    Importance comes from training rows (the released example takes dev, which leaks) and per-sample gradients (it
    adds signed ones up). Every layer keeps a head. The example stops at 90% of the score; here `pruned` says when.
    """

    pruned: float = Field(0.4, ge=0, lt=1, description="share of all attention heads that are removed")
    per_round: float = Field(
        0.1, gt=0, le=1, description="share removed before importance is estimated again"
    )
    importance_rows: int = Field(2048, ge=1, description="training rows that importance is estimated on")
    normalise: bool = Field(True, description="divide each layer's importances by their L2 norm")
    retrain_epochs: int = Field(
        0, ge=0, description="epochs of training after the removal; the paper has none"
    )


def heads_removed(options: HeadPruningOptions, counts: list[int]) -> int:
    """How many heads go, of layers with `counts`; UserError where a layer would keep none."""
    removed = round(options.pruned * sum(counts))
    removable = sum(counts) - len(counts)
    if removed > removable:
        raise UserError(
            f"head-pruning: pruned={options.pruned} removes {removed} of {sum(counts)} heads, but each of the "
            f"{len(counts)} layers keeps one; choose at most {removable / sum(counts):.3g}."
        )
    return removed


def prune(model: MultiExitModel, train: Examples, options: HeadPruningOptions) -> None:
    """Removes the least important heads in rounds, estimating importance anew before each."""
    counts = head_counts(model.backbone)
    left, share = heads_removed(options, counts), max(1, int(options.per_round * sum(counts)))
    rows = spread(len(train.encoded), options.importance_rows)
    while left > 0:
        importance = head_importance(model, train, rows)
        if options.normalise:
            importance = normalised(importance)
        going = min(left, share)
        remove_heads(model, without_least(importance, going))
        left -= going


def spread(available: int, wanted: int) -> np.ndarray:
    """At most `wanted` row numbers spread evenly over `available`, int64."""
    count = min(available, wanted)
    return np.arange(count, dtype=np.int64) * available // count


class HeadPruning(Method):
    """One exit; a fine-tuned model with smaller attention matrices."""

    name, title, default_rule = "head-pruning", "Attention-head pruning", "budgeted"
    paper = "Michel et al. (2019)"
    options_type = HeadPruningOptions

    def check(self, options: TrainingOptions, skeleton: Callable[[], Backbone]) -> None:
        heads_removed(_own(options), head_counts(skeleton()))

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return (depth,)

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        return {"finetuned": finetuned(options)}

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        copy_weights(model, needed["finetuned"].weights)

    def finished(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        """As many heads as will be left, spread over the layers.

        Which layers lose them is for the weights to say; what the whole path costs depends only on how many there
        are, because every head costs the same and the only exit is the last.
        """
        counts = head_counts(backbone)
        kept = sum(counts) - heads_removed(_own(options), counts)
        for number, layer in enumerate(backbone.layers):
            keep_heads(layer, range(kept // len(counts) + (number < kept % len(counts))))
        return self.build(backbone, classes, options)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        own = _own(options)
        first = partial(prune, options=own)
        return [Stage("pruning", own.retrain_epochs, own.lr, last_exit_loss, first=first)]


def _own(options: TrainingOptions) -> HeadPruningOptions:
    assert isinstance(options, HeadPruningOptions)
    return options
