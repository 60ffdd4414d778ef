"""Leaving early for real: layers after the exit are not computed.

It proves the replay (same exit, same answer) and is what a deployed model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from eebench.backbones.base import Batch
from eebench.backbones.tokens import Encoded
from eebench.model import MultiExitModel
from eebench.rules.base import Rule, judge
from eebench.trace import full_precision


@dataclass(frozen=True)
class Left:
    """How one sample left: `exit_index` (0-based), its layer, and the answering exit's logits [C]."""

    exit_index: int
    layer: int
    logits: torch.Tensor


def leave_early(model: MultiExitModel, rule: Rule, threshold: float, batch: Batch) -> Left:
    """Runs one sample (batch of one) until `rule` lets it go."""
    state, gram = model.embed(batch), None
    memory = rule.start(1, state.hidden.device)
    exits = {layer: index for index, layer in enumerate(model.exit_layers)}
    for layer in range(1, model.depth):
        state = model.advance(layer, state)
        if layer not in exits:
            continue
        signals, gram = model.observe(layer, state, rule.needs, gram)
        if bool(rule.leaves(judge(rule, layer, signals, memory), threshold)):
            answer = model.classify(layer, state) if signals.logits is None else signals.logits
            return Left(exits[layer], layer, answer[0])
    state = model.advance(model.depth, state)
    return Left(len(exits) - 1, model.depth, model.classify(model.depth, state)[0])


def sequential(
    model: MultiExitModel, rule: Rule, threshold: float, encoded: Encoded, device: torch.device
) -> Iterator[Left]:
    """Every sample of a split on its own, in order, as the published scripts do (batch size 1)."""
    model.eval()
    with torch.inference_mode(), full_precision():
        for row in range(len(encoded)):
            yield leave_early(model, rule, threshold, encoded.batch(np.array([row])).to(device))
