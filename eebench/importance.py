"""How much the loss would change without a head or a neuron: first-order Taylor importance (COST-EFF Eq. 2).

Paper and code differ. `abs_sum` (the paper): |sum over the structure of gradient x weight|, the gradient summed
over batches. `abs_elementwise` (the code): sum over the structure of |weight| x sum over batches of |gradient|.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from eebench.slender import LayerParts

Taylor = Literal["abs_elementwise", "abs_sum"]
HeadParts = Literal["output", "whole"]


def contributions(weights: Sequence[nn.Parameter], losses: Iterable[Tensor], form: Taylor) -> list[Tensor]:
    """Each element's first-order term over all batches, in the shapes of `weights`; not negative if elementwise.

    `losses` yields one scalar per batch, made while it is asked for, so that one graph exists at a time.
    """
    sums = [torch.zeros_like(weight) for weight in weights]
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(weights))
        torch._foreach_add_(sums, torch._foreach_abs(gradients) if form == "abs_elementwise" else gradients)
    kept = [weight.detach() for weight in weights]
    if form == "abs_elementwise":
        kept = [weight.abs() for weight in kept]
    return [weight * total for weight, total in zip(kept, sums, strict=True)]


def scored_weights(layers: Iterable[LayerParts]) -> dict[str, nn.Parameter]:
    """The weights that scores are read from, by layer (from 0) and part; biases are not scored."""
    found = {}
    for number, parts in enumerate(layers):
        for name in ("query", "key", "value", "output", "inner", "outer"):
            found[f"{number}.{name}"] = getattr(parts, name).weight
    return found


def head_scores(
    terms: Mapping[str, Tensor], layer: int, head_size: int, counted: HeadParts = "output"
) -> Tensor:
    """Importance of each head of a layer (from 0), [heads].

    "output" (the code) reads the head's input columns of O alone, "whole" (the paper) its rows of Q, K, V as well.
    """
    sums = (
        terms[f"{layer}.output"].T.reshape(-1, head_size, terms[f"{layer}.output"].shape[0]).sum(dim=(1, 2))
    )
    if counted == "whole":
        for name in ("query", "key", "value"):
            rows = terms[f"{layer}.{name}"]
            sums = sums + rows.reshape(-1, head_size, rows.shape[1]).sum(dim=(1, 2))
    return sums.abs()


def neuron_scores(terms: Mapping[str, Tensor], layer: int) -> Tensor:
    """Importance of each feed-forward neuron of a layer (from 0), its row in FI and its column in FO: [F]."""
    return (terms[f"{layer}.inner"].sum(dim=1) + terms[f"{layer}.outer"].sum(dim=0)).abs()


def strongest(scores: Tensor, count: int) -> list[int]:
    """The places of the `count` highest scores, in ascending order; of equal scores the first is kept."""
    order = torch.argsort(scores, descending=True, stable=True)[:count]
    return sorted(order.tolist())


def bootstrap(rows: int) -> np.ndarray:
    """As many row numbers as there are rows, drawn with replacement from torch's generator: int64 [N]."""
    drawn: np.ndarray = torch.randint(rows, (rows,)).numpy()
    return drawn


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Training mode with no dropout inside the block; both are as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    rates = {module: module.p for module in modes if isinstance(module, nn.Dropout)}
    model.train()
    for dropout in rates:
        dropout.p = 0.0
    try:
        yield
    finally:
        for dropout, rate in rates.items():
            dropout.p = rate
        for module, mode in modes.items():
            module.training = mode
