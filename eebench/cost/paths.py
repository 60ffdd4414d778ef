"""What leaving at each exit costs: sums of components, no new traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eebench.cost.conventions import Convention, flops
from eebench.cost.operations import SIMILARITY, Lengths, ModelCost, Operations
from eebench.errors import ModelError

Evaluated = Literal["all", "last"]


def path_flops(
    cost: ModelCost,
    exit_layers: Sequence[int],
    lengths: Lengths,
    convention: Convention,
    evaluated: Evaluated,
    compared: bool = False,
) -> Lengths:
    """Cost of leaving at each of `exit_layers`, int64 [E, U], for the sequence lengths in `lengths` [U] or [R, U].

    The second form has the lengths of the same samples in every sequence that the model reads (`ModelCost.reads`).
    Leaving after layer e pays the embedding, layers 1..e, and the heads of all exits up to and including e
    ("all": rules that look at each exit they pass) or of the one that answers ("last": a fixed exit, the CKA
    rule); `compared` adds the similarity of each exit where the rule is asked, which the last one is not.
    Raises ModelError for an exit that the cost does not know.

    Example: ``path_flops(cost, (6, 12), np.array([128]), convention("full_2mac"), "all")[0, 0]`` is the price
    of stopping after layer 6.
    """
    sequences = np.atleast_2d(lengths)
    costs = [
        sum(
            flops(part, sequences[read], convention)
            for read, part in parts_by_sequence(cost, exit_layers, layer, evaluated, compared).items()
        )
        for layer in exit_layers
    ]
    return np.stack(costs) if costs else np.empty((0, sequences.shape[1]), dtype=np.int64)


def path_operations(
    cost: ModelCost, exit_layers: Sequence[int], layer: int, evaluated: Evaluated, compared: bool = False
) -> Operations:
    """Everything that one sample executes which leaves after `layer`, in a model with `exit_layers`."""
    return sum(parts_by_sequence(cost, exit_layers, layer, evaluated, compared).values(), start=Operations())


def parts_by_sequence(
    cost: ModelCost, exit_layers: Sequence[int], layer: int, evaluated: Evaluated, compared: bool
) -> dict[int, Operations]:
    """The same, by the sequence of tokens that is worked on."""
    passed = [other for other in exit_layers if other <= layer] if evaluated == "all" else [layer]
    _check_known([*passed, layer], cost)
    reads = cost.reads or (0,) * len(cost.layers)
    parts = {reads[0]: cost.embedding}

    def add(number: int, part: Operations) -> None:
        parts[reads[number - 1]] = parts.get(reads[number - 1], Operations()) + part

    for number in range(1, layer + 1):
        add(number, cost.layers[number - 1] + cost.before(number))
    for exit_layer in passed:
        add(exit_layer, cost.exits[exit_layer])
    if compared:
        add(layer, cost.extras[SIMILARITY] * sum(other <= layer for other in exit_layers[:-1]))
    return parts


def skipping_flops(
    cost: ModelCost,
    executed: NDArray[np.bool_],
    lengths: Lengths,
    convention: Convention,
    evaluated: Evaluated,
) -> Lengths:
    """Cost of leaving at each exit for samples that skip layers, int64 [L, N]; `executed` [L, N], `lengths` [N].

    Every layer has an exit. Leaving after layer e pays the embedding, the gates of layers 1..e, the executed
    layers and, for rules that look at each exit, their heads (SmartBERT: sum of gates visited, layers and
    classifiers executed). A sample that skipped the layer where it answers pays that head too: the last one.
    """
    distinct, column = np.unique(lengths, return_inverse=True)
    depth = len(executed)

    def table(parts: Sequence[Operations]) -> Lengths:
        return np.stack([flops(part, distinct, convention) for part in parts])[:, column]

    gates = np.cumsum(table([cost.before(layer) for layer in range(1, depth + 1)]), axis=0)
    heads = table([cost.exits[layer] for layer in range(1, depth + 1)])
    paid = table(cost.layers) + (heads if evaluated == "all" else 0)
    ran = np.cumsum(np.where(executed, paid, 0), axis=0)
    answer = heads if evaluated == "last" else np.where(executed, 0, heads)
    return np.asarray(flops(cost.embedding, distinct, convention)[column] + gates + ran + answer)


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
