"""Leave when consecutive exits agree, or when several in a row are sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from eebench.rules.base import Geometry, Rule, RuleState, Signals
from eebench.rules.confidence import SHARES, entropy


class Patience(Rule):
    """PABEE's rule: count consecutive exits with the same label, leave when the count reaches the patience.

    The first exit has count 0, so the earliest leave is exit patience + 1. The count grows by one at a time,
    so "reached" is the reference code's equality.
    """

    name, title, knob, sense = "patience", "patience (agreeing exits)", "patience", "reached"
    source = "PABEE (Zhou et al. 2020)"
    counts = True

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {
            "label": torch.full((rows,), -1, dtype=torch.int64, device=device),
            "count": torch.zeros(rows, dtype=torch.float32, device=device),
        }

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        label = signals.required_logits().argmax(dim=-1)
        state["count"] = (state["count"] + 1) * (label == state["label"])
        state["label"] = label
        return state["count"]

    def distance(self, criterion: Tensor, signals: Signals, state: RuleState, threshold: float) -> Tensor:
        # A count flips only where two classes tie.
        best, second = signals.required_logits().topk(2, dim=-1).values.unbind(dim=-1)
        return best - second

    def grid(self, geometry: Geometry) -> list[float]:
        return [float(patience) for patience in range(len(geometry.exit_layers) - 1, 0, -1)]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 1.0, float(len(geometry.exit_layers))


class ScorePatience(Patience):
    """PABEE's rule for regression: exits agree when their scores differ by less than delta.

    The released default of delta is 0, which never holds in practice; the values tried here are in units of
    the score (0 to 5 for STS-B).
    """

    name, title = "score-patience", "patience (close scores)"
    classification, regression = False, True
    fixed: ClassVar[Mapping[str, tuple[float, ...]]] = {"delta": (0.5, 0.05, 0.1, 0.25, 0.75, 1.0)}

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {
            "score": torch.full((rows,), math.inf, device=device),
            "moved": torch.full((rows,), math.inf, device=device),
            "count": torch.zeros(rows, dtype=torch.float32, device=device),
        }

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        score = signals.required_logits()[:, 0]
        state["moved"] = (score - state["score"]).abs()
        state["count"] = (state["count"] + 1) * (state["moved"] < self.knobs["delta"])
        state["score"] = score
        return state["count"]

    def distance(self, criterion: Tensor, signals: Signals, state: RuleState, threshold: float) -> Tensor:
        return (state["moved"] - self.knobs["delta"]).abs()


class PatientConfident(Rule):
    """PCEE-BERT's rule: leave once t exits in a row have a normalised entropy below tau.

    The paper counts confident exits and starts again at an unsure one. That is the same as asking whether the
    largest entropy of the last t exits is below tau, which makes tau the threshold to sweep. The answer is
    the current exit's (ensemble mode 0 of the released code).
    """

    name, title, knob, sense = "patient-confident", "patient and confident", "tau", "below"
    source = "PCEE-BERT (Zhang et al. 2022)"
    fixed: ClassVar[Mapping[str, tuple[float, ...]]] = {"t": (2.0, 1.0, 3.0, 4.0)}

    def start(self, rows: int, device: torch.device) -> RuleState:
        return {"recent": torch.full((rows, int(self.knobs["t"])), math.inf, device=device)}

    def criterion(self, layer: int, signals: Signals, state: RuleState) -> Tensor:
        logits = signals.required_logits()
        now = entropy(logits) / math.log(logits.shape[-1])
        state["recent"] = torch.cat([state["recent"][:, 1:], now[:, None]], dim=1)
        return state["recent"].amax(dim=1)

    def grid(self, geometry: Geometry) -> list[float]:
        return [0.0, *SHARES]

    def bounds(self, geometry: Geometry) -> tuple[float, float]:
        return 0.0, math.inf
