"""DeeBERT: fine-tune first, then train the off-ramps on the frozen backbone."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from eebench.heads import HeadConfig
from eebench.losses import exit_losses
from eebench.methods.base import Method, Need, Needed
from eebench.methods.finetune import FinetuneOptions
from eebench.model import MultiExitModel, Outputs, copy_weights
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms, inner_exits


def off_ramp_loss(outputs: Outputs, labels: Tensor, step: Step) -> Terms:
    """Plain sum of the cross-entropies of all exits but the last."""
    return {"loss": exit_losses(outputs.logits[:-1], labels).sum()}


class DeebertOptions(TrainingOptions):
    """The released recipe: batch 8, three epochs a stage, no warm-up, no decay, own pooler at each exit.

    Stage 1 takes `epochs` and `lr`; stage 2 `exit_epochs` and `exit_lr` (None: the same).
    """

    epochs: int = 3
    batch_size: int = 8
    warmup_share: float = 0.0
    weight_decay: float = 0.0
    head: HeadConfig = HeadConfig(pooler="own")
    exit_epochs: int | None = Field(None, ge=1, description="epochs of stage 2; None: as stage 1")
    exit_lr: float | None = Field(None, gt=0, description="learning rate of stage 2; None: as stage 1")


class Deebert(Method):
    """Two stages; stage 1 is a `finetune` run with the same options, shared with whoever asks for it.

    Paper and code differ on the last off-ramp: the code consults an untrained one, the paper the final
    classifier; the paper is followed. The frozen backbone runs in evaluation mode. Off-ramp poolers start
    from the pretrained pooler, not the fine-tuned one, as in the code.
    """

    name, title, default_rule = "deebert", "DeeBERT", "entropy"
    paper = "DeeBERT (Xin et al. 2020)"
    options_type = DeebertOptions

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        shared = FinetuneOptions.model_fields.keys()
        return {"finetuned": Need("finetune", options.model_dump(include=set(shared)))}

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        copy_weights(model, needed["finetuned"].weights)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, DeebertOptions)
        epochs, lr = options.exit_epochs or options.epochs, options.exit_lr or options.lr
        return [Stage("off-ramps", epochs, lr, off_ramp_loss, trains=inner_exits)]
