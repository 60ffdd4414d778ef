"""Contrast between exits: which teach and which learn, and a loss that draws learners to their teachers' average.

Shapes everywhere: `losses` fp32 [E], one per exit; `features` fp32 [E, B, H], one vector per exit and sample, B >= 2.
M students and N teachers make the E exits; nothing here loops over exits or samples (CsdBERT, Sec. 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Negatives = Literal["concat", "students_only"]
WeightOrder = Literal["loss_desc", "loss_asc", "depth", "uniform"]


@dataclass(frozen=True)
class Split:
    """Exits by index, int64: `students` [M] from the largest loss down, `teachers` [N] go on from there."""

    students: Tensor
    teachers: Tensor


def split_exits(losses: Tensor, teachers: int) -> Split:
    """The `teachers` exits with the smallest losses teach; of equal ones the deeper.

    Example: ``split_exits(torch.tensor([0.7, 0.9, 0.2, 0.2]), 1)`` has students 1, 0, 2 and teacher 3.
    """
    # Stable: of equal losses the shallower comes first, among the students.
    order = losses.argsort(descending=True, stable=True)
    return Split(order[:-teachers], order[-teachers:])


def ensemble_teacher(features: Tensor, split: Split) -> Tensor:
    """T_ens, the teachers' average of each sample, [B, H]."""
    return features[split.teachers].mean(dim=0)


def nt_xent(anchors: Tensor, students: Tensor, temperature: float, negatives: Negatives) -> Tensor:
    """L_SCL^m of every student, [M] (CsdBERT Eqs. 6, 7), from anchors [B, H] and students [M, B, H].

    Anchor i is the teacher's vector of sample i, its positive the student's vector of the same sample. The
    denominator runs over the other 2B - 1 vectors of the concatenated set, or over the B students alone. Similarity
    is the cosine. With all similarities equal the loss is ln(2B - 1), or ln B.
    """
    anchors, students = F.normalize(anchors, dim=-1), F.normalize(students, dim=-1)
    across = students @ anchors.T / temperature  # [M, student sample, anchor]
    positives = across.diagonal(dim1=1, dim2=2)
    partition = across.logsumexp(dim=1)
    if negatives == "concat":
        among = anchors @ anchors.T / temperature
        itself = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
        # The same for every student, so it is summed once.
        partition = torch.logaddexp(partition, among.masked_fill(itself, -torch.inf).logsumexp(dim=1))
    return (partition - positives).mean(dim=1)


def student_weights(split: Split, order: WeightOrder) -> Tensor:
    """m / sum(m) of every student (Eq. 8), fp32 [M], in the order of `split.students`.

    loss_desc: the worst student has m = 1, the best m = M; loss_asc the other way; depth: the shallowest has m = 1;
    uniform: all alike.
    """
    count, device = len(split.students), split.students.device
    places = torch.arange(1, count + 1, device=device)
    if order == "loss_asc":
        places = places.flip(0)
    elif order == "depth":
        places = split.students.argsort().argsort() + 1  # the rank of each student's layer
    elif order == "uniform":
        places = torch.ones_like(places)
    return places / places.sum()
