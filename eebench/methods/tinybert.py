"""TinyBERT's task distillation: a narrow student copies attention and hidden states first, then the answers.

The general distillation that comes before it in the paper needs a large corpus and is left out (COST-EFF's
"without GD"): expect a narrow student, which starts from random numbers, to stay far below the paper's.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from eebench.backbones.architectures import architecture_of
from eebench.backbones.base import Backbone, Batch
from eebench.distillation import (
    Asked,
    LayerPair,
    TaughtOutputs,
    attention_distance,
    feature_distance,
    self_attention,
    soft_cross_entropy,
    spaced,
)
from eebench.errors import UserError
from eebench.heads import exit_heads
from eebench.losses import exit_losses
from eebench.methods.student import Student, StudentModel, StudentOptions
from eebench.model import HEADS, MultiExitModel, Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms

Form = Literal["tinybert4", "tinybert6"]
PROJECTION = "projection."


@dataclass(frozen=True)
class Proportions:
    """A student's sizes as shares of its teacher's."""

    layers: float
    width: float
    feed_forward: float


FORMS: dict[Form, Proportions] = {
    "tinybert4": Proportions(4 / 12, 312 / 768, 1200 / 3072),
    "tinybert6": Proportions(6 / 12, 1.0, 1.0),
}
TITLES: dict[Form, str] = {"tinybert4": "TinyBERT4", "tinybert6": "TinyBERT6"}


class TinybertOptions(StudentOptions):
    """The released script: stage 1 ten epochs at 5e-5, stage 2 three at 3e-5 with the best kept.

    Stage 1 of its table per task, which has no effect there: 50 epochs on CoLA, 20 on MRPC, RTE and STS-B, 10 on
    SST-2 and QNLI, 5 on MNLI and QQP. The code keeps stage 1's rate constant and leaves the teacher's dropout on;
    here both stages warm up and decay and the teacher is in evaluation mode. The code's classifier reads ReLU of the
    pooled vector without dropout; here both sides have the ordinary head. Stage 1's means in the code are over texts
    padded to one length, padding included; here they are over real tokens, however far a batch is padded.
    """

    epochs: int = 3
    lr: float = 3e-5
    select: Literal["last", "best"] = "best"
    form: Form = Field("tinybert4", description="the paper's two shapes, in proportion to the backbone")
    layers: int | None = Field(None, ge=1, description="layers of the student; None: the form's share")
    width: int | None = Field(None, ge=1, description="hidden size; None: the form's share, whole per head")
    heads: int | None = Field(None, ge=1, description="attention heads; None: the backbone's")
    feed_forward: int | None = Field(None, ge=1, description="inner size; None: the form's share")
    init: Literal["auto", "pretrained", "teacher", "random"] = Field(
        "auto", description="first pretrained layers, spaced layers of the teacher, random; auto: by width"
    )
    intermediate_epochs: int = Field(10, ge=0, description="epochs of stage 1")
    intermediate_lr: float = Field(5e-5, gt=0, description="learning rate of stage 1")
    attention_weight: float = Field(1.0, ge=0, description="weight of the attention loss in stage 1")
    hidden_weight: float = Field(1.0, ge=0, description="weight of the hidden-state loss in stage 1")
    temperature: float = Field(1.0, gt=0, description="temperature of both sides' answers in stage 2")
    answers_mean: Literal["batch", "classes"] = Field("batch", description="batch, or classes too (code)")


@dataclass(frozen=True)
class Shape:
    """A student's sizes; `full` when its layers are as large as the backbone's, so that weights can be taken over."""

    width: int
    heads: int
    feed_forward: int
    full: bool

    @classmethod
    def of(cls, backbone: Backbone, options: TinybertOptions) -> Shape:
        """The shape asked of a student of `backbone`; UserError when there is no such student."""
        self_attention(backbone, 1)
        config, share = backbone.config, FORMS[options.form]
        heads = options.heads or int(config.num_attention_heads)
        width = options.width or heads * max(1, round(backbone.width * share.width / heads))
        inner = options.feed_forward or max(1, round(config.intermediate_size * share.feed_forward))
        whole = (backbone.width, config.num_attention_heads, config.intermediate_size)
        shape = cls(width, heads, inner, (width, heads, inner) == whole)
        shape.check(backbone, options)
        return shape

    def check(self, backbone: Backbone, options: TinybertOptions) -> None:
        """UserError when the student is wider than the backbone, or cannot be split, compared or started so."""
        inner = int(backbone.config.intermediate_size)
        for name, asked, most in (
            ("width", self.width, backbone.width),
            ("feed_forward", self.feed_forward, inner),
        ):
            if asked > most:
                raise UserError(
                    f"tinybert: {name}={asked} is more than the backbone's {most}; choose a smaller one."
                )
        if self.width % self.heads:
            near = self.heads * max(1, self.width // self.heads)
            raise UserError(
                f"tinybert: width={self.width} is not divisible by {self.heads} heads; for example width={near}."
            )
        theirs = backbone.config.num_attention_heads
        if options.attention_weight > 0 and self.heads != theirs:
            raise UserError(
                f"tinybert: {self.heads} heads cannot be compared with the teacher's {theirs}; leave out `heads`, "
                "or set attention_weight=0."
            )
        if options.init in ("pretrained", "teacher") and not self.full:
            raise UserError(
                f"tinybert: init={options.init} needs layers as large as the backbone's (form=tinybert6); a "
                "smaller student starts from init=random."
            )

    def blank(self, backbone: Backbone) -> Backbone:
        """A backbone of this shape with random weights, otherwise configured like `backbone`."""
        config: Any = deepcopy(backbone.config)
        config.hidden_size, config.num_attention_heads = self.width, self.heads
        config.intermediate_size, config.num_hidden_layers = self.feed_forward, backbone.depth
        return architecture_of(config.to_dict(), "the backbone").untrained(config, backbone.pooling)


class TinybertModel(StudentModel):
    """A student with one linear map to the teacher's width, for all its hidden states, while it trains."""

    training_only: ClassVar[tuple[str, ...]] = (PROJECTION,)

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module], width: int) -> None:
        super().__init__(backbone, heads)
        self.projection = nn.Linear(backbone.width, width)
        nn.init.normal_(self.projection.weight, std=0.02)
        nn.init.zeros_(self.projection.bias)

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        outputs = super().forward(batch, kinds)
        if not isinstance(outputs, TaughtOutputs) or outputs.hidden is None:
            return outputs
        return replace(outputs, hidden=self.projection(outputs.hidden).float())


def ask(model: MultiExitModel, step: Step, attention: bool) -> None:
    """Has both sides show their hidden states, and the attention of the layers that are compared, if wanted."""
    assert isinstance(model, TinybertModel)
    layers = spaced(model.depth, model.teacher.depth) if attention else ()
    model.asked = Asked(
        hidden=True, attention=tuple(LayerPair(own, theirs) for own, theirs in enumerate(layers, start=1))
    )


def ask_nothing(model: MultiExitModel, step: Step) -> None:
    """Has both sides show their answers only."""
    assert isinstance(model, TinybertModel)
    model.asked = Asked()


def intermediate_loss(outputs: Outputs, labels: Tensor, step: Step, options: TinybertOptions) -> Terms:
    """sum_i MSE(A_i, A^T_g(i)) + sum_{i=0..n} MSE(W h_i, h^T_g(i)) (Eqs. 7-9), the embeddings' output first."""
    assert isinstance(outputs, TaughtOutputs)
    lesson = outputs.teacher
    assert outputs.hidden is not None and lesson.hidden is not None
    mapped = [0, *spaced(len(outputs.hidden) - 1, len(lesson.hidden) - 1)]
    hidden = feature_distance(outputs.hidden, lesson.hidden[mapped], outputs.mask)
    loss, terms = options.hidden_weight * hidden, {"hidden": hidden}
    if outputs.attention is not None and lesson.attention is not None:
        # The scores are those before softmax.
        attention = attention_distance(outputs.attention, lesson.attention, outputs.mask)
        loss, terms = loss + options.attention_weight * attention, {**terms, "attention": attention}
    return {"loss": loss, **terms}


def prediction_loss(outputs: Outputs, labels: Tensor, step: Step, options: TinybertOptions) -> Terms:
    """Soft cross-entropy with the teacher (Eq. 10), no labels; regression learns the gold scores (the code)."""
    assert isinstance(outputs, TaughtOutputs)
    logits = outputs.logits[-1]
    if logits.shape[-1] == 1:
        return {"loss": exit_losses(outputs.logits[-1:], labels)[0]}
    loss = soft_cross_entropy(logits, outputs.teacher.logits[-1], options.temperature)
    return {"loss": loss / logits.shape[-1] if options.answers_mean == "classes" else loss}


class Tinybert(Student):
    """Two stages: intermediate layers through a linear map that is then dropped, and the answers."""

    name, title = "tinybert", "TinyBERT"
    paper = "TinyBERT (Jiao et al. 2020), its task distillation"
    options_type = TinybertOptions
    regression = True
    version = 2

    def label(self, options: TrainingOptions) -> str:
        return _own(options).form

    def heading(self, options: TrainingOptions) -> str:
        return TITLES[_own(options).form]

    def depth(self, options: TrainingOptions, layers: int) -> int:
        own = _own(options)
        return own.layers or max(1, round(layers * FORMS[own.form].layers))

    def check(self, options: TrainingOptions, skeleton: Callable[[], Backbone]) -> None:
        Shape.of(skeleton(), _own(options))

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> TinybertModel:
        own = _own(options)
        shape, width = Shape.of(backbone, own), backbone.width
        if own.init == "random" or not shape.full:
            backbone = shape.blank(backbone)
        heads = exit_heads(backbone, classes, options.head, self.exit_layers(options, backbone.depth))
        model = TinybertModel(backbone, heads, width)
        model.inherits = spaced if own.init == "teacher" else None
        return model

    def stages(self, options: TrainingOptions) -> list[Stage]:
        own = _own(options)
        intermediate = Stage(
            "intermediate", own.intermediate_epochs, own.intermediate_lr,
            partial(intermediate_loss, options=own), trains=lambda name, _: not name.startswith("heads."),
            before=partial(ask, attention=own.attention_weight > 0), select="last",
        )  # fmt: skip
        prediction = Stage(
            "prediction", own.epochs, own.lr, partial(prediction_loss, options=own),
            trains=lambda name, _: not name.startswith(PROJECTION), before=ask_nothing,
        )  # fmt: skip
        return [intermediate, prediction] if own.intermediate_epochs else [prediction]


def _own(options: TrainingOptions) -> TinybertOptions:
    assert isinstance(options, TinybertOptions)
    return options
