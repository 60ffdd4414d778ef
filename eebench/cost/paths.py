"""What leaving at each exit costs: sums of components, no new traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from eebench.cost.conventions import Convention, flops
from eebench.cost.operations import Lengths, ModelCost, Operations
from eebench.errors import ModelError

Evaluated = Literal["all", "last"]


def path_flops(
    cost: ModelCost,
    exit_layers: Sequence[int],
    lengths: Lengths,
    convention: Convention,
    evaluated: Evaluated,
) -> Lengths:
    """Cost of leaving at each of `exit_layers`, int64 [E, U], for the sequence lengths in `lengths` [U].

    Leaving after layer e pays the embedding, layers 1..e, and the heads of all exits up to and including e
    ("all": rules that look at each exit they pass) or of the one that answers ("last": a fixed exit).
    Raises ModelError for an exit that the cost does not know.

    Example: ``path_flops(cost, (6, 12), np.array([128]), convention("full_2mac"), "all")[0, 0]`` is the price
    of stopping after layer 6.
    """
    paths = [path_operations(cost, exit_layers, layer, evaluated) for layer in exit_layers]
    costs = [flops(operations, lengths, convention) for operations in paths]
    return np.stack(costs) if costs else np.empty((0, len(lengths)), dtype=np.int64)


def path_operations(
    cost: ModelCost, exit_layers: Sequence[int], layer: int, evaluated: Evaluated
) -> Operations:
    """Everything that one sample executes which leaves after `layer`, in a model with `exit_layers`."""
    passed = [other for other in exit_layers if other <= layer] if evaluated == "all" else [layer]
    _check_known([*passed, layer], cost)
    parts = [*cost.layers[:layer], *(cost.exits[exit_layer] for exit_layer in passed)]
    return sum(parts, start=cost.embedding)


def _check_known(exit_layers: Sequence[int], cost: ModelCost) -> None:
    unknown = sorted(set(exit_layers) - cost.exits.keys())
    if unknown:
        raise ModelError(
            f"no cost for an exit after layer {unknown[0]}; this model has exits after layers "
            f"{', '.join(map(str, sorted(cost.exits)))}."
        )


def full_operations(cost: ModelCost) -> Operations:
    """The reference: all layers and the ordinary single classifier (pooler and linear head)."""
    return sum(cost.layers, start=cost.embedding) + cost.classifier


def full_flops(cost: ModelCost, lengths: Lengths, convention: Convention) -> Lengths:
    """Cost of the full single-exit model, int64 [U], at `lengths` [U]; what FLOP speed-ups divide by."""
    return flops(full_operations(cost), lengths, convention)
