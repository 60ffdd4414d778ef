"""Contrastive learning across layers: a token's states in consecutive layers are drawn together (SmartBERT)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Projection(nn.Module):
    """Dense d x 128, LayerNorm, tanh, dense 128 x 128: token states [B, T, d] -> [B, T, 128], in training only.

    115,200 parameters at d = 768, 33,280 at d = 128; the framework's default initialisation.
    """

    WIDTH = 128

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, self.WIDTH)
        self.LayerNorm = nn.LayerNorm(self.WIDTH)
        self.leave = nn.Linear(self.WIDTH, self.WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        projected: Tensor = self.leave(torch.tanh(self.LayerNorm(self.enter(tokens))))
        return projected


@dataclass(frozen=True)
class Contrast:
    """Form of the loss: its temperature, whether the denominator holds the positive."""

    temperature: float
    with_positive: bool = True


def crosslayer_losses(projected: Tensor, mask: Tensor, form: Contrast) -> Tensor:
    """InfoNCE between consecutive layers, one value per pair [L - 1] (SmartBERT Eq. 4, and 6 in stage 2).

    With q^i_m the l2-normalised state of token m in layer i, s_mk = q^i_m . q^(i+1)_k / t and k over the real tokens of
    the same sentence: -ln(exp(s_mm) / sum_k exp(s_mk)), averaged over a sentence's tokens and then over the batch.
    Shapes: `projected` [L, B, T, d], `mask` bool [B, T]. A token without another to be told apart from (a sentence of
    one token, and no positive in the denominator) has loss 0.
    """
    unit = F.normalize(projected.float(), dim=-1)
    # All pairs at once: [L - 1, B, T, T].
    similarity = unit[:-1] @ unit[1:].transpose(-1, -2) / form.temperature
    positive = similarity.diagonal(dim1=-2, dim2=-1)
    compared = mask[:, None, :].expand(-1, mask.shape[1], -1)
    if not form.with_positive:
        compared = compared & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    total = similarity.masked_fill(~compared, -torch.inf).logsumexp(dim=-1)
    counted = mask & compared.any(dim=-1)
    losses = torch.where(counted, total - positive, 0.0)
    return (losses.sum(dim=-1) / mask.sum(dim=-1)).mean(dim=-1)
