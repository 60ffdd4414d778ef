"""Leave when a learned score says the answer is right."""

from __future__ import annotations

import torch
from torch import Tensor

from eebench.rules.base import Geometry, Rule, RuleState, Signals


class LearnedScore(Rule):
    """BERxiT's learning-to-exit: leave when the learned certainty is at least the threshold.

    The released code predicts the error and leaves below a threshold; the paper's certainty is its mirror
    image (1 - error) and is what the trace stores.
    """

    name, title, knob, sense = "learned", "learned certainty", "certainty", "reached"
    source = "BERxiT (Xin et al. 2021)"
    needs = frozenset({"score"})
    regression = True

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {}

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        if signals.score is None:
            raise ValueError("this rule reads the learned score")
        return signals.score.float()

    def grid(self, geometry: Geometry) -> list[float]:
        return [1.01, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 0.0, 2.0
