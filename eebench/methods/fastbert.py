"""FastBERT: students learn from the last exit on a frozen backbone; FastBERT-GA: the same in one stage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor

from eebench.heads import HeadConfig
from eebench.losses import distil_from_last
from eebench.methods.base import Method, Need, Needed
from eebench.methods.finetune import FinetuneOptions
from eebench.methods.gaml import Gaml, GamlOptions
from eebench.model import MultiExitModel, Outputs, copy_weights
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms, inner_exits

Direction = Literal["teacher_first", "student_first"]


def self_distillation(outputs: Outputs, labels: Tensor, step: Step, direction: Direction) -> Terms:
    """Sum over the students of KL between the last exit and each; labels are not used."""
    return {"loss": distil_from_last(outputs.logits, direction)}


class FastbertOptions(FinetuneOptions):
    """The released recipe: stage 1 three epochs at 2e-5, stage 2 five epochs at ten times that.

    Paper and code differ on the divergence: the paper writes the student's distribution first, the code the
    teacher's (the default here). The released schedule of stage 2 dies after stage 1's epochs; here it runs
    over its own length. The teacher runs in evaluation mode (the code leaves its dropout on).
    """

    head: HeadConfig = HeadConfig(attention="fastbert")
    exit_epochs: int = Field(5, ge=1, description="epochs of self-distillation")
    exit_lr: float | None = Field(None, gt=0, description="learning rate of stage 2; None: ten times lr")
    divergence: Direction = Field("teacher_first", description="KL(teacher || student), or the other way")


class Fastbert(Method):
    """Two stages; stage 1 is a `finetune` run with FastBERT's attention head, stage 2 self-distillation."""

    name, title, default_rule = "fastbert", "FastBERT", "normalized-entropy"
    paper = "FastBERT (Liu et al. 2020)"
    options_type = FastbertOptions
    regression = False

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        shared = set(FinetuneOptions.model_fields)
        return {"finetuned": Need("finetune", options.model_dump(include=shared))}

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        copy_weights(model, needed["finetuned"].weights)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, FastbertOptions)
        objective = partial(self_distillation, direction=options.divergence)
        lr = options.exit_lr or 10 * options.lr
        return [Stage("students", options.exit_epochs, lr, objective, trains=inner_exits)]


class FastbertGaOptions(GamlOptions):
    """GAML's protocol; every exit learns from the last one only."""

    kd_pairs: Literal["all", "to_last"] = "to_last"


class FastbertGa(Gaml):
    """GAML-BERT's control: FastBERT's teacher in one stage, with gradient alignment and nothing frozen.

    Its exits are GAML-BERT's (one shared pooler), not FastBERT's (attention), so beside `fastbert` it shows the head
    too. FastBERT cannot have the shared pooler: its second stage trains the inner exits and holds the last one.
    """

    name, title = "fastbert-ga", "FastBERT-GA"
    paper = "GAML-BERT (Zhu et al. 2021), Table 2"
    options_type = FastbertGaOptions
