"""GAML-BERT: mutual learning of all exits, with gradients aligned to the cross-entropy's; ML-BERT without."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor

from eebench.losses import mutual_distillation, weighted_exit_loss
from eebench.methods.base import Method
from eebench.model import Outputs
from eebench.training.gradients import GradientAlignment, Scope, descend_watching
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms, descend


class GamlProtocol(TrainingOptions):
    """GAML-BERT's protocol (Sec. 6.4): at most 15 epochs, early stopping on a held-out tenth of train."""

    epochs: int = 15
    warmup_epochs: float | None = 1.0
    weight_decay: float = 0.0
    select: Literal["last", "best"] = "best"
    holdout: float = 0.1
    patience: int | None = 5
    alpha: float = Field(0.3, ge=0, le=1, description="weight of mutual distillation (Eq. 2)")


class MutualOptions(GamlProtocol):
    """What the paper leaves open, as switches.

    The paper names neither the temperature of L_KD nor its normalisation; the literal reading is T = 1 and
    the plain sum over the E(E-1) ordered pairs.
    """

    kd_temperature: float = Field(1.0, gt=0, description="temperature of L_KD")
    kd_detach_teacher: bool = Field(True, description="no gradient through the teaching exit")
    kd_norm: Literal["sum", "mean"] = Field("sum", description="sum over pairs, or their mean")
    kd_pairs: Literal["all", "to_last"] = Field("all", description="who teaches: all exits, or the last")
    ga: Literal["none", "soft", "hard"] = Field("none", description="gradient alignment (Eqs. 6, 7)")
    ga_scope: Scope = Field("global", description="over what the two gradients are compared")
    record_angle: bool = Field(
        False, description="without alignment too, record the angle of the gradients (Fig. 3)"
    )


def mutual_loss(outputs: Outputs, labels: Tensor, step: Step, options: MutualOptions) -> Terms:
    """L_CE (Eq. 1, depth weights), L_KD (Eq. 3) and (1 - alpha) L_CE + alpha L_KD (Eq. 2)."""
    logits = outputs.logits
    ce = weighted_exit_loss(logits, labels, "depth")
    kd = mutual_distillation(logits, options.kd_temperature, options.kd_detach_teacher, options.kd_pairs)
    if options.kd_norm == "mean":
        exits = logits.shape[0]
        kd = kd / (exits * (exits - 1) if options.kd_pairs == "all" else exits - 1)
    return {"loss": (1 - options.alpha) * ce + options.alpha * kd, "ce": ce, "kd": kd}


class Mutual(Method):
    """ML-BERT: mutual learning without gradient alignment (Eq. 2)."""

    name, title, default_rule = "ml", "ML-BERT", "patience"
    paper = "GAML-BERT (Zhu et al. 2021), without gradient alignment"
    options_type = MutualOptions
    regression = False

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, MutualOptions)
        objective = partial(mutual_loss, options=options)
        if options.ga == "none":
            watched = ("angle",) if options.record_angle else ()
            update = descend_watching if options.record_angle else descend
            return [Stage("mutual", options.epochs, options.lr, objective, update, series=watched)]
        aligned = GradientAlignment(options.alpha, options.ga, options.ga_scope)
        return [
            Stage("mutual", options.epochs, options.lr, objective, aligned, series=("c", "angle", "flipped"))
        ]


class GamlOptions(MutualOptions):
    """As ML-BERT, with the gradient alignment of the paper's main results."""

    ga: Literal["none", "soft", "hard"] = "soft"


class Gaml(Mutual):
    """GAML-BERT: soft gradient alignment by default.

    With `ga_scope: global` (the paper's) the update is always a scalar times the cross-entropy gradient, so
    distillation changes the length of a step, never its direction: compare with `pabee`, the same loss
    without distillation. `per_tensor` and `per_layer` can turn the step.
    """

    name, title = "gaml", "GAML-BERT"
    paper = "GAML-BERT (Zhu et al. 2021)"
    options_type = GamlOptions

    @property
    def recipe(self) -> str:
        return Mutual.name
