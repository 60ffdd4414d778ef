"""CsdBERT: in every batch the exits with the smallest losses teach the others, by contrast and by distillation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, Pooling, State
from eebench.backbones.evaluation import given, linear
from eebench.contrastive import (
    Negatives,
    Split,
    WeightOrder,
    ensemble_teacher,
    nt_xent,
    split_exits,
    student_weights,
)
from eebench.errors import UserError
from eebench.heads import HeadConfig, Pooler, pool
from eebench.losses import exit_losses
from eebench.methods.base import Method
from eebench.model import HEADS, MultiExitModel, Outputs
from eebench.rules.confidence import entropy
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms

HeadForm = Literal["linear_tanh", "linear", "pooler_linear"]
ExpertNorm = Literal["none", "n", "sumdif"]
VANISHING = 1e-12
"""A sum of difficulties below this divides nothing."""


class CsdbertOptions(TrainingOptions):
    """The paper's values (alpha, beta, tau, T, five epochs at 2e-5 in batches of 32), and what it leaves open.

    The paper names Adam and no weight decay, so there is none. It follows ElasticBERT for batch size and learning rate;
    schedule and warm-up, which it does not name, are those of that model's fine-tuning script (6%, linear decay). The
    best epoch by the mean over exits is kept, judged on a held-out tenth of train. Without the contrastive term
    alpha = 0, without distillation beta = 0 (Table 5); n_teachers 3 to 8 is Fig. 3a.

    L_KD is multiplied by T^2. Eq. 11 only cites a loss that has neither T nor factor (FastBERT's), and T = 4 is the
    paper's own; with a temperature the factor keeps the weight of the term (Hinton et al. 2015, Sec. 2, cited too).
    Without it the term's gradient is a sixth of the cross-entropy's at an undecided student of two classes, too little
    for the 3.6 and 4.8 points that it brings on RTE and SST-2 (Table 5). `kd_t2: false` is the literal reading.

    The printed head (Eqs. 2, 3) takes the hyperbolic tangent of the logits, so no probability exceeds 0.881 with two
    classes, 0.787 with three. `head` chooses pooling and dropout; `head_form` all else.
    """

    epochs: int = 5
    warmup_share: float = 0.06
    weight_decay: float = 0.0
    select: Literal["last", "best"] = "best"
    holdout: float = 0.1
    head: HeadConfig = HeadConfig(pooler="none", dropout=0.0)
    head_form: HeadForm = Field("linear_tanh", description="Eqs. 2, 3; no tanh; a pooler of its own, no tanh")
    alpha: float = Field(0.01, ge=0, description="weight of the contrastive loss; 0: without it")
    beta: float = Field(1.0, ge=0, description="weight of the distillation loss; 0: without it")
    n_teachers: int | None = Field(None, ge=1, description="exits that teach, N; None: half of them")
    rank_ema: float = Field(
        0.0, ge=0, lt=1, description="decay of the average loss that ranks exits; 0: each batch"
    )
    tau: float = Field(0.5, gt=0, description="temperature of the contrastive loss")
    scl_negatives: Negatives = Field("concat", description="2Q - 1 candidates, or the Q students alone")
    scl_weight_order: WeightOrder = Field(
        "loss_desc", description="in which order students weigh 1..M (Eq. 8)"
    )
    scl_detach_teacher: bool = Field(True, description="no contrastive gradient through the teachers")
    kd_temperature: float = Field(4.0, gt=0, description="temperature T of distillation")
    kd_t2: bool = Field(True, description="multiply distillation by T^2 (Hinton et al. 2015)")
    texp_norm: ExpertNorm = Field(
        "none", description="divide the expert teacher by nothing, N, or the sum of weights"
    )

    @field_validator("head")
    @classmethod
    def _has_its_own_form(cls, head: HeadConfig) -> HeadConfig:
        if head.pooler != "none" or head.attention != "none":
            raise ValueError(
                "csdbert has heads of its own; write head: {pooler: none, attention: none} and choose with "
                "head_form: linear_tanh, linear or pooler_linear"
            )
        return head


class CsdbertHead(nn.Module):
    """One vector per sample -> logits [B, C]: a pooler where there is one, dropout, a linear map, tanh (Eq. 2).

    Starts from N(0, 0.02) with bias 0. 12 heads of BERT-base have 18,456 parameters (C = 2) in the printed form.
    """

    def __init__(
        self, classifier: nn.Linear, pooler: nn.Module | None, options: CsdbertOptions, pooling: Pooling
    ) -> None:
        super().__init__()
        self.pooling, self.classes = pooling, classifier.out_features
        self.bounded = options.head_form == "linear_tanh"
        self.pooler = pooler
        self.dropout = nn.Dropout(options.head.dropout)
        self.classifier = classifier
        nn.init.normal_(classifier.weight, std=0.02)
        nn.init.zeros_(classifier.bias)

    def pooled(self, state: State) -> Tensor:
        """h of the exit, [B, H]: the [CLS] row or the mean over real tokens, raw."""
        return pool(state, self.pooling)

    def read(self, pooled: Tensor) -> Tensor:
        """Logits [B, C] of h, fp32."""
        pooler = self.pooler
        read = pooled if pooler is None else given(pooler, pooled)
        # Half precision would round the tangent to 1 and its gradient to 0.
        logits = linear(self.classifier, self.dropout(read) if self.training else read).float()
        return torch.tanh(logits) if self.bounded else logits

    def forward(self, state: State) -> Tensor:
        return self.read(self.pooled(state))


def csdbert_head(backbone: Backbone, classes: int, options: CsdbertOptions, layer: int) -> CsdbertHead:
    """The head after `layer`; ElasticBERT's own pooler of that layer comes first whatever the form."""
    from eebench.backbones.elasticbert import ElasticBertBackbone

    pooler = None
    if options.head_form == "pooler_linear" or isinstance(backbone, ElasticBertBackbone):
        pooler = Pooler.of(backbone, options.head.pooler_init, layer)
    pooling = options.head.pooling or backbone.pooling
    return CsdbertHead(nn.Linear(backbone.width, classes), pooler, options, pooling)


@dataclass(frozen=True, kw_only=True)
class CsdbertOutputs(Outputs):
    """Outputs with `features` fp32 [E, B, H], h of every exit, and `average` fp32 [E], the losses remembered."""

    features: Tensor
    average: Tensor | None = None


class CsdbertModel(MultiExitModel):
    """A multi-exit model that shows what its heads read while it trains.

    With `remember` it carries a running average of the exits' losses, [E], as a parameter without gradient: so it is in
    every checkpoint, and training goes on from it.
    """

    training_only: ClassVar[tuple[str, ...]] = ("ranking",)
    ranking: nn.Parameter | None

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module], remember: bool) -> None:
        super().__init__(backbone, heads)
        average = nn.Parameter(torch.zeros(len(heads)), requires_grad=False) if remember else None
        self.register_parameter("ranking", average)

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        if not self.training:
            return super().forward(batch, kinds)
        state, features, logits = self.embed(batch), [], []
        for layer in self.exit_layers:
            state, head = self.advance(layer, state), self.heads[str(layer)]
            assert isinstance(head, CsdbertHead)
            features.append(head.pooled(state))
            logits.append(head.read(features[-1]))
        average = None if self.ranking is None else self.ranking.detach()
        return CsdbertOutputs(
            logits=torch.stack(logits), features=torch.stack(features).float(), average=average
        )


def teacher_count(options: CsdbertOptions, exits: int) -> int:
    """N, half of the exits unless told; UserError where it leaves nobody to teach or nobody to learn."""
    if exits < 2:
        raise UserError(
            f"csdbert needs 2 layers or more, one to teach and one to learn; this backbone has {exits}."
        )
    half = exits // 2
    teachers = half if options.n_teachers is None else options.n_teachers
    if not 1 <= teachers < exits:
        raise UserError(
            f"csdbert: n_teachers={teachers} is outside 1..{exits - 1} for a backbone of {exits} layers, each with an "
            f"exit that teaches or learns; set n_teachers={half}, or leave it out for half of them."
        )
    return teachers


def ranked_losses(outputs: CsdbertOutputs, losses: Tensor, decay: float) -> Tensor:
    """What the exits are ranked by, [E]: the batch's losses, or their running average, updated in place."""
    if outputs.average is None:
        return losses.detach()
    # The average starts from 0. What it lacks at first is one factor for all exits, which leaves their order alone.
    return outputs.average.mul_(decay).add_(losses.detach(), alpha=1 - decay)


def contrastive_loss(features: Tensor, split: Split, options: CsdbertOptions) -> Tensor:
    """L_SCL, the weighted sum over students (Eq. 8); 0 for a batch of one sample, which has no negatives."""
    if features.shape[1] < 2:
        return features.new_zeros(())
    teacher = ensemble_teacher(features, split)
    anchors = teacher.detach() if options.scl_detach_teacher else teacher
    losses = nt_xent(anchors, features[split.students], options.tau, options.scl_negatives)
    return (student_weights(split, options.scl_weight_order) * losses).sum()


def difficulty(logits: Tensor) -> Tensor:
    """Dif in [0, 1] (Eq. 9), the entropy over ln C: [N, B] from [N, B, C]. The unsure weigh more."""
    return entropy(logits) / math.log(logits.shape[-1])


def expert_teacher(logits: Tensor, norm: ExpertNorm) -> Tensor:
    """T_exp = sum_n Dif^n c^n (Eq. 10), sample by sample, [B, C], from the teachers' logits [N, B, C]; detached."""
    logits = logits.detach()
    weights = difficulty(logits).unsqueeze(-1)
    expert = (weights * logits).sum(dim=0)
    if norm == "none":
        return expert
    return expert / (len(logits) if norm == "n" else weights.sum(dim=0).clamp_min(VANISHING))


def expert_distillation(logits: Tensor, split: Split, options: CsdbertOptions) -> Tensor:
    """L_KD: sum over students of KL(softmax(T_exp / T) || softmax(c / T)), batch mean, times T^2 by choice."""
    temperature = options.kd_temperature
    expert = expert_teacher(logits[split.teachers], options.texp_norm)
    teacher = torch.log_softmax(expert / temperature, dim=-1)
    students = torch.log_softmax(logits[split.students] / temperature, dim=-1)
    loss = (teacher.exp() * (teacher - students)).sum(dim=(0, 2)).mean()
    return loss * temperature**2 if options.kd_t2 else loss


def csdbert_loss(outputs: Outputs, labels: Tensor, step: Step, options: CsdbertOptions) -> Terms:
    """L = L_CE + alpha L_SCL + beta L_KD, with L_CE the plain sum over exits (Eq. 5); one split serves both."""
    assert isinstance(outputs, CsdbertOutputs)
    losses = exit_losses(outputs.logits, labels)
    ranked = ranked_losses(outputs, losses, options.rank_ema)
    split = split_exits(ranked, teacher_count(options, len(losses)))
    terms = {"ce": losses.sum()}
    loss = terms["ce"]
    if options.alpha > 0:
        terms["scl"] = contrastive_loss(outputs.features, split, options)
        loss = loss + options.alpha * terms["scl"]
    if options.beta > 0:
        terms["kd"] = expert_distillation(outputs.logits, split, options)
        loss = loss + options.beta * terms["kd"]
    return {"loss": loss, **terms}


class Csdbert(Method):
    """One stage, everything trained; the rule compares the hidden states of consecutive layers (CKA).

    With the paper's theta = 0.06 nearly every check of that rule fires, so it is close to a fixed exit after layer
    R + 2: compare it with the rule `budgeted`.
    """

    name, title, default_rule = "csdbert", "CsdBERT", "cka;theta=0.06"
    paper = "CsdBERT, A Contrastive Self-Distillation BERT with Kernel Alignment-Based Inference (2023)"
    options_type = CsdbertOptions
    version = 2
    regression = False

    def exit_form(self, options: TrainingOptions) -> str:
        assert isinstance(options, CsdbertOptions)
        return options.head_form

    def depth(self, options: TrainingOptions, layers: int) -> int:
        teacher_count(_own(options), layers)  # told before anything is trained
        return layers

    def build(self, backbone: Backbone, classes: int, options: TrainingOptions) -> MultiExitModel:
        own = _own(options)
        teacher_count(own, backbone.depth)
        heads: dict[int, nn.Module] = {
            layer: csdbert_head(backbone, classes, own, layer)
            for layer in self.exit_layers(own, backbone.depth)
        }
        return CsdbertModel(backbone, heads, remember=own.rank_ema > 0)

    def stages(self, options: TrainingOptions) -> list[Stage]:
        objective = partial(csdbert_loss, options=_own(options))
        return [Stage("csdbert", options.epochs, options.lr, objective)]


def _own(options: TrainingOptions) -> CsdbertOptions:
    assert isinstance(options, CsdbertOptions)
    return options
