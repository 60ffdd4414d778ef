"""Shallower encoders: some of the layers of one that is already in memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from eebench.backbones.base import Backbone


def keep_layers(backbone: Backbone, kept: Sequence[int]) -> None:
    """Leaves out all layers but `kept` (1-based); what stays keeps its order and is numbered anew.

    Raises ValueError when none is left or one does not exist.

    Example: ``keep_layers(backbone, (1, 3, 5))`` makes an encoder of three layers, the old 1, 3 and 5.
    """
    order = sorted(set(kept))
    if not order or order[0] < 1 or order[-1] > backbone.depth:
        raise ValueError(f"cannot keep layers {order} of {backbone.depth}")
    backbone.layers = nn.ModuleList(backbone.layers[layer - 1] for layer in order)
    backbone.depth = len(order)


def first_layers(backbone: Backbone, count: int) -> Backbone:
    """A copy of the embeddings and the first `count` layers, sharing nothing with `backbone`."""
    shallower = copy.copy(backbone)
    # A shallow copy of a module shares its table of submodules; without this the original would be cut as well.
    shallower._modules = dict(backbone._modules)
    keep_layers(shallower, range(1, count + 1))
    return copy.deepcopy(shallower)
