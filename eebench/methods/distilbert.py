"""DistilBERT on a task: every other layer of a fine-tuned teacher, taught by its softened answers.

Not the released checkpoint, which was distilled on general text: fine-tune that one with
`eebench train finetune --backbone distilbert-base-uncased` (its authors put dense, ReLU and dropout 0.2 before
the classifier; here it gets the ordinary head).
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor

from eebench.backbones.base import Backbone
from eebench.distillation import (
    Asked,
    TaughtOutputs,
    cosine_distance,
    feature_distance,
    soft_divergence,
    spaced,
)
from eebench.losses import exit_losses
from eebench.methods.student import Student, StudentModel, StudentOptions
from eebench.model import Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms


class DistilbertOptions(StudentOptions):
    """The released task distillation (written for question answering): equal weights, temperature 2.

    No recipe for GLUE was published; four epochs at 3e-5 are of the usual grid, 4 to 10 at 2e-5 to 5e-5.
    """

    epochs: int = 4
    lr: float = 3e-5
    temperature: float = Field(2.0, gt=0, description="temperature of both sides' answers")
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the teacher; the labels get the rest")
    init: Literal["teacher", "pretrained"] = Field(
        "teacher", description="spread layers of the fine-tuned teacher, or the first pretrained ones"
    )
    cosine_weight: float = Field(0.0, ge=0, description="weight of the cosine of the last hidden states")
    hidden_weight: float = Field(0.0, ge=0, description="weight of matched hidden states (TextBrewer: 1)")


def spread(students: int, teachers: int) -> tuple[int, ...]:
    """The teacher's layers (1-based) a student starts from, first and last among them.

    Six of twelve are 1, 3, 5, 8, 10, 12, the released choice (0-based 0, 2, 4, 7, 9, 11).
    """
    gaps = max(1, students - 1)
    return tuple(1 + round(index * (teachers - 1) / gaps) for index in range(students))


def distilbert_loss(outputs: Outputs, labels: Tensor, step: Step, options: DistilbertOptions) -> Terms:
    """a T^2 KL(teacher || student) + (1 - a) CE, and the distances of hidden states where weighted."""
    assert isinstance(outputs, TaughtOutputs)
    lesson = outputs.teacher
    soft = soft_divergence(outputs.logits[-1], lesson.logits[-1], options.temperature)
    hard = exit_losses(outputs.logits[-1:], labels)[0]
    loss = options.alpha * soft + (1 - options.alpha) * hard
    terms = {"soft": soft, "hard": hard}
    if outputs.hidden is not None and lesson.hidden is not None:
        pairs = [0, *spaced(len(outputs.hidden) - 1, len(lesson.hidden) - 1)]
        terms["cosine"] = cosine_distance(outputs.hidden[-1], lesson.hidden[-1], outputs.mask)
        terms["hidden"] = feature_distance(outputs.hidden, lesson.hidden[pairs], outputs.mask)
        loss = loss + options.cosine_weight * terms["cosine"] + options.hidden_weight * terms["hidden"]
    return {"loss": loss, **terms}


class Distilbert(Student):
    """Half the layers, taught by the teacher's answers and the labels together."""

    name, title = "distilbert", "DistilBERT (task)"
    paper = "DistilBERT (Sanh et al. 2019), its distillation on a task"
    options_type = DistilbertOptions

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> StudentModel:
        assert isinstance(options, DistilbertOptions)
        model = super().build(backbone, classes, options)
        model.asked = Asked(hidden=options.cosine_weight > 0 or options.hidden_weight > 0)
        model.inherits = spread if options.init == "teacher" else None
        return model

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, DistilbertOptions)
        objective = partial(distilbert_loss, options=options)
        return [Stage("distil", options.epochs, options.lr, objective)]
