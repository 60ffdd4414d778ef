"""Leave at a fixed exit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from eebench.rules.base import Geometry, Rule, RuleState, Signals


class Budgeted(Rule):
    """Every sample uses the exit after layer k: the budgeted mode of GAML-BERT, and every static model's only point.

    No head before it is evaluated, and no signal is read. Where a model skips layers, a sample uses the next executed
    exit from k on, the last one if there is none.
    """

    name, title, knob, sense = "budgeted", "fixed exit", "exit", "reached"
    source = "GAML-BERT (Zhu et al. 2021), budgeted mode"
    evaluates = "last"
    counts = True
    needs: ClassVar[frozenset[str]] = frozenset()
    regression = True

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {"row": torch.zeros(rows, dtype=torch.float32, device=device)}

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        return state["row"] + layer

    def distance(self, criterion: Tensor, signals: Signals, state: RuleState, threshold: float) -> Tensor:
        return torch.full_like(criterion, torch.inf)  # whole layers on both sides

    def grid(self, geometry: Geometry) -> list[float]:
        return [float(layer) for layer in reversed(geometry.exit_layers)]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 1.0, float(geometry.exit_layers[-1])
