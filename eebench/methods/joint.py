"""Joint multi-exit training, and the two baselines that are exactly that with their own exit rule."""

from __future__ import annotations

from functools import partial

from pydantic import Field
from torch import Tensor

from eebench.losses import ExitWeights, weighted_exit_loss
from eebench.methods.base import Method
from eebench.model import Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms


def joint_loss(outputs: Outputs, labels: Tensor, step: Step, kind: ExitWeights) -> Terms:
    """Weighted sum of the exits' cross-entropies."""
    return {"loss": weighted_exit_loss(outputs.logits, labels, kind)}


class JointOptions(TrainingOptions):
    """`exit_weights`: sum, uniform (1/E each) or depth (i / sum i)."""

    exit_weights: ExitWeights = Field("uniform", description="weights of the exits' losses")


class Joint(Method):
    """Every exit's cross-entropy at once, one stage, everything trained."""

    name, title, default_rule = "joint", "Joint multi-exit", "entropy"
    paper = "joint training (DeeBERT Sec. 3.2 ablation; BERxiT)"
    options_type = JointOptions

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, JointOptions)
        return [Stage("joint", options.epochs, options.lr, partial(joint_loss, kind=options.exit_weights))]


class PabeeOptions(JointOptions):
    """PABEE's released recipe: depth weights, five epochs, no warm-up, no weight decay, shared pooler."""

    epochs: int = 5
    warmup_share: float = 0.0
    weight_decay: float = 0.0
    exit_weights: ExitWeights = "depth"


class Pabee(Joint):
    """PABEE: depth-weighted cross-entropy (weights i / sum i), patience rule."""

    name, title, default_rule = "pabee", "PABEE", "patience"
    paper = "PABEE (Zhou et al. 2020)"
    options_type = PabeeOptions


class ShallowDeep(Pabee):
    """Shallow-Deep networks in their BERT form: PABEE's training with the maximum-probability rule.

    GAML-BERT describes it only by its rule; the loss is the one it gives for all multi-exit baselines. Same
    recipe, hence the same run as `pabee` with the same options.
    """

    name, title, default_rule = "shallow-deep", "Shallow-Deep", "max-prob"
    paper = "Shallow-Deep Networks (Kaya et al. 2019), as in GAML-BERT Table 2"

    @property
    def recipe(self) -> str:
        return Pabee.name
