"""Named ways to turn operation counts into one cost number; every report says which one it used.

full_2mac     2 x (linear + matmul): the honest default, attention products included
linear_2mac   2 x linear: the published tables of SmartBERT and FastBERT
linear_mac    linear, not doubled: what the released SmartBERT script prints (it adds LayerNorm)
layers        executed transformer layers, nothing else: GAML-BERT, CsdBERT, PABEE
torch110_profiler  what the profiler of PyTorch 1.10 counts, COST-EFF's tables: 2 x linear, and one operation per
              element of an out-of-place sum or product; batched attention products count zero
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np

from eebench.cost.operations import Lengths, Operations
from eebench.errors import UnknownName, UserError


@dataclass(frozen=True)
class Convention:
    """A weighted sum of counts: linear x (linear MACs) + matmul x (matmul MACs) + elementwise x sums + layers x layers.

    `unit` is what one unit of cost is ("FLOP", "MAC", "layer").
    """

    name: str
    description: str
    unit: str
    linear: int = 0
    matmul: int = 0
    layers: int = 0
    elementwise: int = 0


CONVENTIONS: dict[str, Convention] = {
    entry.name: entry
    for entry in (
        Convention("full_2mac", "2 FLOP per MAC of linear maps and attention products", "FLOP", 2, 2),
        Convention("linear_2mac", "2 FLOP per MAC of linear maps only (SmartBERT, FastBERT)", "FLOP", 2),
        Convention("linear_mac", "MACs of linear maps only, not doubled", "MAC", 1),
        Convention("layers", "executed transformer layers (GAML-BERT, CsdBERT, PABEE)", "layer", layers=1),
        Convention(
            "torch110_profiler",
            "2 FLOP per MAC of linear maps, 1 per element of a sum, none for attention products (COST-EFF)",
            "FLOP",
            2,
            elementwise=1,
        ),
    )
}
DEFAULT_CONVENTION = "full_2mac"


def convention(name: str) -> Convention:
    """The convention called `name`; raises UnknownName with the closest known one."""
    if name not in CONVENTIONS:
        raise UnknownName("convention", name, CONVENTIONS)
    return CONVENTIONS[name]


@overload
def flops(operations: Operations, length: int, convention: Convention) -> int: ...
@overload
def flops(operations: Operations, length: Lengths, convention: Convention) -> Lengths: ...
def flops(operations: Operations, length: int | Lengths, convention: Convention) -> int | Lengths:
    """Cost of `operations` for one sample of `length` tokens, exact, in `convention.unit`s.

    An int gives an int, an integer array gives int64 of the same shape. Raises UserError below length 1.
    """
    if np.any(np.less(length, 1)):
        raise UserError(f"a sequence length of {np.min(length)} has no cost; give a length of 1 or more.")
    weighted = operations.linear * convention.linear + operations.matmul * convention.matmul
    weighted += operations.elementwise * convention.elementwise
    return weighted(length) + operations.layers * convention.layers
