"""What static students share: fewer layers, one exit at the last, and a fine-tuned teacher of the whole backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from pydantic import Field

from eebench.backbones.base import Backbone
from eebench.distillation import Taught
from eebench.heads import exit_heads
from eebench.methods.base import Method, Need, Needed
from eebench.methods.finetune import FinetuneOptions
from eebench.model import MultiExitModel
from eebench.training.options import TrainingOptions


class StudentOptions(FinetuneOptions):
    """The teacher is a `finetune` run with the student's own common options, its method's defaults among them.

    Students share one teacher, and `finetune` itself, only where a suite gives all of them the same (`defaults`). Fix
    `teacher_epochs` and `teacher_lr` when the student's are searched, else each value trains a teacher.
    """

    layers: int | None = Field(None, ge=1, description="layers of the student; None: half of the backbone's")
    teacher_epochs: int | None = Field(None, ge=1, description="epochs of the teacher; None: the student's")
    teacher_lr: float | None = Field(
        None, gt=0, description="learning rate of the teacher; None: the student's"
    )


class StudentModel(Taught):
    """A taught model that may start from layers of its teacher.

    `inherits(own layers, teacher's layers)` names them, 1-based, one for each of its own; None keeps the weights it
    was built with.
    """

    inherits: Callable[[int, int], Sequence[int]] | None = None


class Student(Method):
    """The first layers of the pretrained backbone, taught; a method adds its losses."""

    default_rule = "budgeted"
    options_type = StudentOptions
    regression = False

    def depth(self, options: TrainingOptions, layers: int) -> int:
        assert isinstance(options, StudentOptions)
        return options.layers or max(1, layers // 2)

    def exit_layers(self, options: TrainingOptions, depth: int) -> tuple[int, ...]:
        return (depth,)

    def needs(self, options: TrainingOptions) -> dict[str, Need]:
        assert isinstance(options, StudentOptions)
        shared = options.model_dump(include=set(FinetuneOptions.model_fields))
        own = {"epochs": options.teacher_epochs, "lr": options.teacher_lr}
        given = {name: value for name, value in own.items() if value is not None}
        return {"teacher": Need("finetune", shared | given)}

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> StudentModel:
        layers = self.exit_layers(options, backbone.depth)
        return StudentModel(backbone, exit_heads(backbone, classes, options.head, layers))

    def initialise(self, model: MultiExitModel, needed: Mapping[str, Needed]) -> None:
        assert isinstance(model, StudentModel)
        teacher = needed["teacher"].model()
        model.teach(teacher)
        if model.inherits is not None:
            inherit(model.backbone, teacher.backbone, model.inherits(model.depth, teacher.depth))


def inherit(student: Backbone, teacher: Backbone, layers: Sequence[int]) -> None:
    """Copies the teacher's embeddings, and for each of the student's layers the teacher's in `layers` (1-based)."""
    theirs = dict(teacher.named_parameters())
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if not name.startswith("layers."):
                parameter.copy_(theirs[name])
    for own, layer in zip(student.layers, layers, strict=True):
        own.load_state_dict(teacher.layers[layer - 1].state_dict())
