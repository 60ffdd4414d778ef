"""Gradient equilibrium: a layer gets the average of its exits' gradients, not their sum.

Two scaled identities per layer (ElasticBERT's and COST-EFF's code): after layer k the gradient is divided by
the number of exits at or after k, and on the way to layer k + 1 multiplied by the number after k. The
products telescope, so layer k's weights receive 1/(L-k+1) * sum_{i>=k} grad L_i, and heads their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _ScaleGradient(torch.autograd.Function):
    """Identity forward; multiplies the gradient by a constant backward."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def scale_gradient(tensor: Tensor, factor: float) -> Tensor:
    """`tensor` itself, whose gradient is multiplied by `factor`."""
    scaled: Tensor = _ScaleGradient.apply(tensor, factor)  # type: ignore[no-untyped-call]
    return scaled
