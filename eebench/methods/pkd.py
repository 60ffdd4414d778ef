"""Patient knowledge distillation (BERT-PKD): the student also follows the teacher's layers on the way."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor

from eebench.backbones.base import Backbone, Pooling
from eebench.distillation import Asked, TaughtOutputs, patient_distance, soft_divergence, spaced
from eebench.losses import exit_losses
from eebench.methods.student import Student, StudentModel, StudentOptions
from eebench.model import Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms

Mapped = Literal["skip", "last"]
Mean = Literal["classes", "batch"]


class PkdOptions(StudentOptions):
    """The released example: alpha 0.7, T 10, beta 500, lr 1e-5, four epochs, the best of them kept.

    The grid is alpha {0.2, 0.5, 0.7}, T {5, 10, 20} with beta = 0 first, then beta {10, 100, 500, 1000}. Code and
    paper differ: the code averages the patient loss (which makes such betas meaningful) and the divergence over
    classes too, the paper sums squared distances. The code computes the teacher beforehand and so never shuffles, and
    casts the patient loss to half precision; here the teacher answers in the loop, rows are shuffled, all is fp32.
    """

    epochs: int = 4
    lr: float = 1e-5
    select: Literal["last", "best"] = "best"
    layer_map: Mapped = Field("skip", description="teacher's layers to follow: every few, or the last ones")
    alpha: float = Field(0.7, ge=0, le=1, description="weight of the teacher's answers; labels get the rest")
    temperature: float = Field(10.0, gt=0, description="temperature of both sides' answers")
    beta: float = Field(500.0, ge=0, description="weight of the patient loss; 0: without it")
    normalised: bool = Field(True, description="compare vectors of unit length")
    divergence_mean: Mean = Field("classes", description="mean over batch and classes (code), or batch only")
    patient_reduction: Literal["mean", "sum"] = Field("mean", description="mean (code), or sum (paper)")
    vector: Pooling | None = Field(None, description="cls or mean over tokens; None: what the exit reads")


def patient_layers(students: int, teachers: int, layer_map: Mapped) -> tuple[int, ...]:
    """The teacher's layers (1-based) that layers 1..k-1 of the student follow; the last is excluded on both sides.

    Six of twelve: skip 2, 4, 6, 8, 10; last 7, 8, 9, 10, 11.
    """
    if layer_map == "last":
        return tuple(range(teachers - students + 1, teachers))
    return spaced(students, teachers)[:-1]


def pkd_loss(outputs: Outputs, labels: Tensor, step: Step, options: PkdOptions) -> Terms:
    """(1 - alpha) CE + alpha KD + beta PT (Eq. 8); a student of one layer has no layer to follow."""
    assert isinstance(outputs, TaughtOutputs)
    lesson, logits = outputs.teacher, outputs.logits
    hard = exit_losses(logits[-1:], labels)[0]
    soft = soft_divergence(logits[-1], lesson.logits[-1], options.temperature)
    if options.divergence_mean == "classes":
        soft = soft / logits.shape[-1]
    terms = {"loss": (1 - options.alpha) * hard + options.alpha * soft, "soft": soft, "hard": hard}
    if outputs.pooled is None or lesson.pooled is None:
        return terms
    layers = patient_layers(len(outputs.pooled) - 1, len(lesson.pooled) - 1, options.layer_map)
    # Index 0 is the embeddings' output, so the 1-based layers are indices as they stand.
    student, teacher = outputs.pooled[1:-1], lesson.pooled[list(layers)]
    patient = patient_distance(student, teacher, options.normalised, options.patient_reduction)
    return {**terms, "loss": terms["loss"] + options.beta * patient, "patient": patient}


class Pkd(Student):
    """The first layers of the pretrained backbone, which follow [CLS] through the teacher's layers."""

    name, title = "pkd", "BERT-PKD"
    paper = "Patient Knowledge Distillation (Sun et al. 2019)"
    options_type = PkdOptions

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> StudentModel:
        assert isinstance(options, PkdOptions)
        model = super().build(backbone, classes, options)
        if options.beta > 0 and backbone.depth > 1:
            model.asked = Asked(pooled=options.vector or options.head.pooling or backbone.pooling)
        return model

    def stages(self, options: TrainingOptions) -> list[Stage]:
        assert isinstance(options, PkdOptions)
        objective = partial(pkd_loss, options=options)
        return [Stage("distil", options.epochs, options.lr, objective)]
