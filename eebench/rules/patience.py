"""Leave when consecutive exits agree."""

from __future__ import annotations

import torch
from torch import Tensor

from eebench.rules.base import Geometry, Rule, RuleState, Signals


class Patience(Rule):
    """PABEE's rule: count consecutive exits with the same label, leave when the count reaches the patience.

    The first exit has count 0, so the earliest leave is exit patience + 1. The count grows by one at a time,
    so "reached" is the reference code's equality.
    """

    name, title, knob, sense = "patience", "patience (agreeing exits)", "patience", "reached"
    source = "PABEE (Zhou et al. 2020)"
    discrete = True

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {
            "label": torch.full((rows,), -1, dtype=torch.int64, device=device),
            "count": torch.zeros(rows, dtype=torch.float32, device=device),
        }

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        if signals.logits is None:
            raise ValueError("this rule reads logits")
        label = signals.logits.argmax(dim=-1)
        state["count"] = (state["count"] + 1) * (label == state["label"])
        state["label"] = label
        return state["count"]

    def grid(self, geometry: Geometry) -> list[float]:
        return [float(patience) for patience in range(len(geometry.exit_layers) - 1, 0, -1)]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 1.0, float(len(geometry.exit_layers))
