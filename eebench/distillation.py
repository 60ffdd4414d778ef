"""Learning from another model: a teacher beside the student, what both show of themselves, and the losses.

The teacher answers on the student's own batches, in evaluation mode, without gradient and under the same
autocast, so nothing has to be stored or aligned by index. Shapes: `logits` fp32 [..., B, C]; `mask` bool [B, T].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eebench.backbones.base import Backbone, Batch, Pooling, State
from eebench.errors import UserError
from eebench.heads import pool
from eebench.model import HEADS, MultiExitModel, Outputs, gather

TokenMean = Literal["per_sample", "per_batch"]


class LayerPair(NamedTuple):
    """A layer of the student and the layer of the teacher it is compared with, both 1-based."""

    student: int
    teacher: int


@dataclass(frozen=True)
class Asked:
    """What a loss compares besides logits: all `hidden` states, one vector of each (`pooled`), attention scores.

    Hidden states take the most memory, so nothing is kept that is not asked for.
    """

    hidden: bool = False
    pooled: Pooling | None = None
    attention: tuple[LayerPair, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """What the teacher shows of one batch, without gradient; None is what was not asked for.

    Shapes, all fp32, L its layers: `logits` [E, B, C]; `hidden` [L + 1, B, T, H] and `pooled` [L + 1, B, H], the
    embeddings' output first; `attention` [K, B, A, T, T], scores before mask and softmax of the K layers asked for.
    """

    logits: Tensor
    hidden: Tensor | None = None
    pooled: Tensor | None = None
    attention: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class TaughtOutputs(Outputs):
    """A student's outputs on a training batch: the same of itself as its teacher shows, and the teacher's.

    `mask` bool [B, T] is True at real tokens. Shapes of the rest as in `Lesson`.
    """

    mask: Tensor
    teacher: Lesson
    hidden: Tensor | None = None
    pooled: Tensor | None = None
    attention: Tensor | None = None


class Taught(MultiExitModel):
    """A multi-exit model with a teacher that is no part of it: not trained, not saved, not counted.

    In training mode `forward` returns `TaughtOutputs` with what `asked` names (set it when the model is built, or
    for each step in `Stage.before`). In evaluation mode, or before `teach`, it is an ordinary model.
    """

    asked: Asked = Asked()

    def __init__(self, backbone: Backbone, heads: dict[int, nn.Module]) -> None:
        super().__init__(backbone, heads)
        # A tuple keeps the teacher out of this module's parameters and modes.
        self._teachers: tuple[MultiExitModel, ...] = ()

    def teach(self, teacher: MultiExitModel) -> None:
        """Learns from `teacher` from now on, instead of the one before; it follows the batches to their device."""
        self._teachers = (teacher.eval().requires_grad_(False),)

    @property
    def teacher(self) -> MultiExitModel:
        """The teacher; ValueError before `teach`."""
        if not self._teachers:
            raise ValueError("this student has no teacher yet; call `teach` first")
        return self._teachers[0]

    def forward(self, batch: Batch, kinds: frozenset[str] = HEADS) -> Outputs:
        if not (self.training and self._teachers):
            return super().forward(batch, kinds)
        lesson = lesson_of(self.teacher, batch, self.asked)
        outputs, states = walk(self, batch, kinds)
        shown = show(self, states, self.asked, [pair.student for pair in self.asked.attention])
        return TaughtOutputs(
            outputs.logits, outputs.scores, outputs.similarities, outputs.executed, outputs.gates,
            mask=batch.mask, teacher=lesson, **shown,
        )  # fmt: skip


def lesson_of(teacher: MultiExitModel, batch: Batch, asked: Asked) -> Lesson:
    """What `teacher` shows of `batch`, moving to the batch's device when it is elsewhere."""
    device = batch.input_ids.device
    if next(teacher.parameters()).device != device:
        teacher.to(device)
    with torch.no_grad():
        outputs, states = walk(teacher, batch)
        shown = show(teacher, states, asked, [pair.teacher for pair in asked.attention])
    return Lesson(outputs.logits, **shown)


def walk(model: MultiExitModel, batch: Batch, kinds: frozenset[str] = HEADS) -> tuple[Outputs, list[State]]:
    """`model.forward`, and the states it went through: after the embeddings and after each of its layers."""
    state, gram = model.embed(batch), None
    states, seen, gates = [state], [], []
    for layer in range(1, model.depth + 1):
        state = model.advance(layer, state)
        states.append(state)
        if layer in model.exit_layers:
            signals, gram = model.observe(layer, state, kinds, gram)
            seen.append(signals)
            gates.append(state.gate)
        state = model.onward(layer, state)
    return gather(seen, gates), states


def show(
    model: MultiExitModel, states: Sequence[State], asked: Asked, attended: Sequence[int]
) -> dict[str, Tensor | None]:
    """What is asked of the states [L + 1] of one pass, by field name; attention of the `attended` layers (1-based)."""
    scores = [attention_scores(model.backbone, layer, states[layer - 1]).float() for layer in attended]
    pooling = asked.pooled
    return {
        "hidden": torch.stack([state.hidden.float() for state in states]) if asked.hidden else None,
        "pooled": torch.stack([pool(state, pooling).float() for state in states]) if pooling else None,
        "attention": torch.stack(scores) if scores else None,
    }


def self_attention(backbone: Backbone, layer: int) -> nn.Module:
    """The module with the query and key maps of `layer` (1-based); UserError where a layer is not built as BERT's."""
    found = getattr(getattr(backbone.layers[layer - 1], "attention", None), "self", None)
    if not (hasattr(found, "query") and hasattr(found, "key")):
        raise UserError(
            f"attention maps of a {backbone.config.model_type} backbone cannot be read; choose a backbone with "
            "BERT's layers (BERT, RoBERTa, ELECTRA), or a method without an attention loss (pkd, distilbert)."
        )
    assert isinstance(found, nn.Module)
    return found


def attention_scores(backbone: Backbone, layer: int, state: State) -> Tensor:
    """q k^T / sqrt(d) of `layer` from the state before it, [B, A, T, T], before mask, softmax and dropout.

    The fused attention of the stock layers returns no scores, so the layer's own two maps are applied once more.
    """
    attention = self_attention(backbone, layer)
    query, key = (
        attention.get_submodule(name)(state.hidden)
        .unflatten(-1, (attention.num_attention_heads, -1))
        .transpose(1, 2)
        for name in ("query", "key")
    )
    scores: Tensor = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores


def spaced(students: int, teachers: int) -> tuple[int, ...]:
    """The teacher's layer for each layer 1..students, evenly spaced, the last for the last: i * L / k, rounded.

    Six of twelve are 2, 4, ..., 12.
    """
    return tuple(round(layer * teachers / students) for layer in range(1, students + 1))


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """-sum_c softmax(z_T / T)_c ln softmax(z_S / T)_c, batch mean, without T^2: [..., B, C] -> [...]."""
    targets = torch.softmax(teacher / temperature, dim=-1)
    return -(targets * torch.log_softmax(student / temperature, dim=-1)).sum(dim=-1).mean(dim=-1)


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(softmax(z_T / T) || softmax(z_S / T)), batch mean: [..., B, C] -> [...] (Hinton et al. 2015)."""
    targets = torch.log_softmax(teacher / temperature, dim=-1)
    gap = targets - torch.log_softmax(student / temperature, dim=-1)
    return (targets.exp() * gap).sum(dim=-1).mean(dim=-1) * temperature**2


def feature_distance(
    student: Tensor, teacher: Tensor, mask: Tensor, mean: TokenMean = "per_sample"
) -> Tensor:
    """Squared distance of hidden states [S, B, T, H] at real tokens, summed over the S states (COST-EFF's L_feat).

    Mean over H, then over the sample's real tokens and over the batch, or over all real tokens of the batch at once.
    """
    squared = ((student - teacher) * mask[..., None]).square().mean(dim=-1)
    if mean == "per_batch":
        return squared.sum() / mask.sum()
    return (squared.sum(dim=-1) / mask.sum(dim=-1)).mean(dim=-1).sum()


def attention_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared distance of attention scores [K, B, A, T, T], summed over the K layers.

    Scores of padding are zero on both sides, as TinyBERT's code has those of padded keys. The mean is over each
    sample's pairs of real tokens, then over A and B; the code's is over all T x T pairs of texts padded to one length.
    """
    real = mask[:, None, :, None] & mask[:, None, None, :]
    squared = ((student - teacher) * real).square()
    pairs = mask.sum(dim=-1).square()[:, None]
    return (squared.sum(dim=(-1, -2)) / pairs).mean(dim=(1, 2)).sum()


def patient_distance(
    student: Tensor, teacher: Tensor, normalised: bool = True, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """Squared distance of one vector per layer and sample, [K, B, H], of unit length if `normalised` (PKD Eq. 7).

    "mean" goes over layers, batch and H (the code); "sum" over layers and H, mean over the batch (the paper).
    """
    if normalised:
        student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
    squared = (student - teacher).square()
    return squared.mean() if reduction == "mean" else squared.sum(dim=(0, 2)).mean()


def cosine_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine of hidden states [B, T, H], mean over all real tokens of the batch (DistilBERT's code)."""
    distance = 1 - F.cosine_similarity(student, teacher, dim=-1)
    return (distance * mask).sum() / mask.sum()
