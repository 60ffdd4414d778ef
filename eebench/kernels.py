"""Centred kernel alignment (CKA) of the hidden states of consecutive exits, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eebench.backbones.base import State

VANISHING = 1e-12
"""A product of norms below this says nothing about alignment."""


@dataclass(frozen=True)
class Gram:
    """Centred Gram matrices of the linear kernel: `matrix` fp32 [B, T, T], 0 at padding, `norm` fp64 [B] (Frobenius).

    Kept from one exit to the next, so that each exit pays for one matrix alone.
    """

    matrix: Tensor
    norm: Tensor

    def select(self, rows: Tensor, length: int | None = None) -> Gram:
        """The matrices of `rows` (bool or index tensor), cut to the first `length` tokens."""
        return Gram(self.matrix[:, :length, :length][rows], self.norm[rows])

    @classmethod
    def join(cls, grams: Sequence[Gram]) -> Gram:
        """The matrices of several batches as one, in order, padded with zeros to the longest."""
        length = max(gram.matrix.shape[1] for gram in grams)
        whole = grams[0].matrix.new_zeros((sum(len(gram.norm) for gram in grams), length, length))
        start = 0
        for gram in grams:
            rows, own = gram.matrix.shape[:2]
            whole[start : start + rows, :own, :own] = gram.matrix
            start += rows
        return cls(whole, torch.cat([gram.norm for gram in grams]))


def centred_gram(state: State) -> Gram:
    """J K J of each sample, K = E E^T over the rows E of real tokens, J = I - 1 1^T / n (CsdBERT, Eqs. 13, 14).

    Centring the columns of E first gives the same matrix with less cancellation. fp32 whatever the autocast.
    """
    with torch.autocast(state.hidden.device.type, enabled=False):
        real = state.mask.unsqueeze(-1).float()
        hidden = state.hidden.float() * real
        centred = (hidden - hidden.sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)) * real
        matrix = torch.bmm(centred, centred.transpose(1, 2))
        return Gram(matrix, inner(matrix, matrix).sqrt())


def alignment(before: Gram, now: Gram) -> Tensor:
    """CKA in [0, 1], fp32 [B]; NaN where the product of norms vanishes.

    It does for a sentence of one token, always. Equal rows are centred to rounding noise, in general not to 0: beside
    a matrix with a large norm their alignment can be a number, which means nothing.
    """
    norms = before.norm * now.norm
    similarity = inner(before.matrix, now.matrix) / norms.clamp_min(VANISHING)
    return torch.where(norms < VANISHING, torch.nan, similarity).float()


def inner(first: Tensor, second: Tensor) -> Tensor:
    """Frobenius inner product of each sample's matrices, fp64 [B]."""
    return (first.double() * second.double()).sum(dim=(1, 2))
