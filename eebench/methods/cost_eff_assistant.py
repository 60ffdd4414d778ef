"""COST-EFF's teaching assistant: a full-width multi-exit model that learns from a fine-tuned one.

All sizes of COST-EFF start from it and learn from it, so it is a run of its own; it can be used as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from eebench.backbones.base import Backbone
from eebench.distillation import Asked, Taught, TaughtOutputs, feature_distance, soft_cross_entropy
from eebench.heads import HeadConfig, exit_heads
from eebench.losses import exit_losses
from eebench.methods.base import Method, Need, Needed
from eebench.methods.elasticbert import BalancedModel
from eebench.methods.finetune import FinetuneOptions
from eebench.model import MultiExitModel, Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms, inner_exits, mean_over_exits

Training = Literal["joint", "two_stage"]
FeatureLoss = Literal["per_token", "plain"]

EVERY = slice(None)
INNER = slice(0, -1)
LAST = slice(-1, None)


class AssistantOptions(TrainingOptions):
    """The released recipe for MRPC; the paper's grid is batch {32, 64} and lr {2e-5, 3e-5, 4e-5}.

    `epochs` (E_T) is 12 on MRPC, 5 on SST-2 and QNLI, 3 on MNLI. With a batch of 64 the code takes lr 3e-5. The
    teacher is a `finetune` run with the same common options and its own ordinary head. Where a choice is code or
    paper, the code is the default; its stage with features comes first although the paper says that features and
    predictions conflict here. Exits start after layer 1, as in the published runs (no `exit_start`), and the
    incomplete last batch of an epoch, which the code drops, is kept.
    """

    epochs: int = 12
    select: Literal["last", "best"] = "best"
    head: HeadConfig = HeadConfig(pooler="tanh")
    teacher_epochs: int | None = Field(None, ge=1, description="epochs of the teacher; None: epochs")
    teacher_lr: float | None = Field(None, gt=0, description="learning rate of the teacher; None: lr")
    ta_recipe: Literal["code", "paper"] = Field(
        "code", description="features first, then half soft and half hard labels; or soft labels only (paper)"
    )
    feature_epochs: int | None = Field(None, ge=0, description="epochs on features; None: a third of epochs")
    feature_loss: FeatureLoss = Field(
        "per_token", description="mean over real tokens, sample by sample (code), or of the batch (plain MSE)"
    )
    gradient_equilibrium: bool = Field(True, description="average the exits' gradients in each layer (Eq. 3)")
    training: Training = Field(
        "joint", description="all at once; two_stage: exits later, on a frozen backbone"
    )
    ta_exit_loss: bool = Field(True, description="off: the assistant's inner exits get no loss (ablation)")


class CosteffModel(BalancedModel, Taught):
    """A taught model with gradient equilibrium while `balanced`."""

    balanced: bool = True

    def _exits_from(self, layer: int) -> int:
        return super()._exits_from(layer) if self.balanced else 1


def ask(model: MultiExitModel, step: Step, hidden: bool) -> None:
    """Has both sides show their hidden states, or their answers only."""
    assert isinstance(model, Taught)
    model.asked = Asked(hidden=hidden)


def not_inner_exits(name: str, model: MultiExitModel) -> bool:
    """Trains the backbone and the last exit."""
    return not inner_exits(name, model)


def last_exit(scores: Sequence[float]) -> float:
    """The best epoch is the last exit's best."""
    return scores[-1]


def feature_term(outputs: Outputs, form: FeatureLoss) -> Tensor:
    """L_feat over the embeddings' output and all layers, 0..L (Eq. 5, whose printed limit is one state too many)."""
    assert isinstance(outputs, TaughtOutputs)
    own, theirs = outputs.hidden, outputs.teacher.hidden
    assert own is not None and theirs is not None
    return feature_distance(own, theirs, outputs.mask, "per_sample" if form == "per_token" else "per_batch")


def soft_term(outputs: Outputs, exits: slice = EVERY, teacher: slice = EVERY) -> Tensor:
    """L_pred: sum over `exits` of the soft cross-entropy with the teacher's exits, exit to exit (Eq. 4).

    A `teacher` of one exit teaches all.
    """
    assert isinstance(outputs, TaughtOutputs)
    return soft_cross_entropy(outputs.logits, outputs.teacher.logits[teacher])[exits].sum()


def hard_term(outputs: Outputs, labels: Tensor, exits: slice = EVERY) -> Tensor:
    """L_hard: sum over `exits` of the cross-entropy."""
    return exit_losses(outputs.logits[exits], labels).sum()


def assistant_features(outputs: Outputs, labels: Tensor, step: Step, form: FeatureLoss) -> Terms:
    """Stage 1a: L_feat against the fine-tuned model."""
    return {"loss": feature_term(outputs, form)}


def assistant_predictions(outputs: Outputs, labels: Tensor, step: Step, exits: slice, hard: bool) -> Terms:
    """Stage 1b: (sum_i SCE(z_i, z^FT) + L_hard) / 2, the teacher's one answer for every exit; paper: SCE alone."""
    soft = soft_term(outputs, exits)
    if not hard:
        return {"loss": soft}
    labelled = hard_term(outputs, labels, exits)
    return {"loss": (soft + labelled) / 2, "soft": soft, "hard": labelled}


class CosteffAssistant(Method):
    """Features of the fine-tuned model first, then its answers and the labels, at every exit."""

    name, title, default_rule = "cost-eff-assistant", "COST-EFF assistant", "entropy"
    paper = "COST-EFF (Shen et al. 2022), the teaching assistant"
    options_type = AssistantOptions
    model_type: ClassVar[type[CosteffModel]] = CosteffModel
    regression = False
    version = 2

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        assert isinstance(options, AssistantOptions)
        shared = options.model_dump(include=FinetuneOptions.model_fields.keys() - {"head"})
        own = {"epochs": options.teacher_epochs, "lr": options.teacher_lr}
        given = {name: value for name, value in own.items() if value is not None}
        return {"teacher": Need("finetune", shared | given)}

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> CosteffModel:
        assert isinstance(options, AssistantOptions)
        layers = self.exit_layers(options, backbone.depth)
        model = self.model_type(backbone, exit_heads(backbone, classes, options.head, layers))
        # One loss at a time has nothing to average.
        several = options.training == "joint" and options.ta_exit_loss
        model.balanced = options.gradient_equilibrium and several
        return model

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        assert isinstance(model, CosteffModel)
        model.teach(needed["teacher"].model())

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, AssistantOptions)
        return [*feature_stages(options), *prediction_stages(options)]


def feature_stages(options: AssistantOptions) -> list[Stage]:
    """Stage 1a, which the paper does not have."""
    epochs = options.epochs // 3 if options.feature_epochs is None else options.feature_epochs
    if options.ta_recipe == "paper" or epochs == 0:
        return []
    objective = partial(assistant_features, form=options.feature_loss)
    before = partial(ask, hidden=True)
    return [Stage("features", epochs, options.lr, objective, before=before, select="last")]


def prediction_stages(options: AssistantOptions) -> list[Stage]:
    """Stage 1b: every exit at once; or backbone and last exit first; or these alone."""
    hard, before = options.ta_recipe == "code", partial(ask, hidden=False)
    together = options.training == "joint" and options.ta_exit_loss
    objective = partial(assistant_predictions, exits=EVERY if together else LAST, hard=hard)
    stages = [
        Stage("predictions", options.epochs, options.lr, objective, before=before,
              judge=mean_over_exits if together else last_exit)
    ]  # fmt: skip
    if options.training == "two_stage" and options.ta_exit_loss:
        objective = partial(assistant_predictions, exits=INNER, hard=hard)
        stages = [
            replace(stages[0], trains=not_inner_exits),
            Stage("exits", options.epochs, options.lr, objective, trains=inner_exits, before=before),
        ]
    return stages
