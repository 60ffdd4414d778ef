"""Losses of multi-exit training, each one tensor expression over all exits.

Shapes everywhere: `logits` fp32 [E, B, C], `labels` int64 [B] (fp32 [B] for regression, where C = 1).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

ExitWeights = Literal["sum", "uniform", "depth"]


def exit_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Batch-mean cross-entropy of every exit, [E]; mean squared error for regression."""
    exits, _, classes = logits.shape
    if classes == 1:
        return F.mse_loss(logits[..., 0], labels.expand(exits, -1), reduction="none").mean(dim=1)
    losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat(exits), reduction="none")
    return losses.view(exits, -1).mean(dim=1)


def exit_weights(exits: int, kind: ExitWeights) -> Tensor:
    """Weights of the exits' losses, [E].

    sum: 1 each (DeeBERT stage 2, ElasticBERT). uniform: 1/E each. depth: i / sum(i), so 1/78 .. 12/78 for
    twelve exits (PABEE; GAML-BERT Eq. 1).
    """
    if kind == "sum":
        return torch.ones(exits)
    if kind == "uniform":
        return torch.full((exits,), 1.0 / exits)
    order = torch.arange(1, exits + 1, dtype=torch.float32)
    return order / order.sum()


def weighted_exit_loss(logits: Tensor, labels: Tensor, kind: ExitWeights) -> Tensor:
    """sum_i w_i CE_i, a scalar."""
    weights = exit_weights(logits.shape[0], kind).to(logits.device)
    return (weights * exit_losses(logits, labels)).sum()


def mutual_distillation(
    logits: Tensor,
    temperature: float = 1.0,
    detach_teacher: bool = True,
    pairs: Literal["all", "to_last"] = "all",
) -> Tensor:
    """Sum over ordered pairs i != j of KL(p_i || p_j), batch mean: exit j learns from exit i (GAML Eq. 3).

    `pairs="to_last"` keeps only the last exit as teacher. Multiplied by T^2 when the temperature is not 1.
    All E(E-1) terms are one expression: sum_ij p_i ln p_j factors into (sum_i p_i) . (sum_j ln p_j), and the
    terms with i = j are zero in value and gradient.
    """
    log_p = torch.log_softmax(logits / temperature, dim=-1)
    teachers = log_p.detach() if detach_teacher else log_p
    if pairs == "to_last":
        teachers = teachers[-1:]
    students = logits.shape[0]
    own = students * (teachers.exp() * teachers).sum(dim=(0, 2))
    cross = (teachers.exp().sum(dim=0) * log_p.sum(dim=0)).sum(dim=-1)
    return (own - cross).mean() * temperature**2


def distil_from_last(
    logits: Tensor, divergence: Literal["teacher_first", "student_first"] = "teacher_first"
) -> Tensor:
    """Sum over exits but the last of KL(last || exit), batch mean, T = 1, the last detached (FastBERT's code).

    "student_first" is the paper's KL(exit || last).
    """
    teacher = torch.log_softmax(logits[-1:].detach(), dim=-1)
    students = torch.log_softmax(logits[:-1], dim=-1)
    if divergence == "teacher_first":
        return (teacher.exp() * (teacher - students)).sum(dim=(0, 2)).mean()
    return (students.exp() * (students - teacher)).sum(dim=(0, 2)).mean()


def pairwise_divergences(logits: Tensor) -> Tensor:
    """KL(p_i || p_j) for every pair of exits, batch mean, [E, E]; teachers i detached, zero on the diagonal."""
    log_p = torch.log_softmax(logits, dim=-1)
    teachers = log_p.detach()
    own = (teachers.exp() * teachers).sum(dim=2).mean(dim=1)
    cross = torch.einsum("ibc,jbc->ij", teachers.exp(), log_p) / logits.shape[1]
    return own[:, None] - cross
